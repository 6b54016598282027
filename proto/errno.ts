/** Linux's error numbers, as far as this file system says them. Source: include/uapi/asm-generic/errno{,-base}.h. */
export const errnos = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENOTTY: 25,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EMLINK: 31,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EOPNOTSUPP: 95,
  ESTALE: 116,
} as const

export type Errno = keyof typeof errnos

const names: ReadonlyMap<number, Errno> = new Map(
  Object.entries(errnos).map(([name, number]) => [number, name as Errno]),
)

/** EIO: we have no name for it, as it comes from a newer server. */
export const nameOfErrno = (errno: number): Errno => names.get(errno) ?? 'EIO'

/**
 * What POSIX foresees, so it carries no stack: thousands a second are thrown (a lookup of a name that is not there), and
 * capturing one costs ten times the lookup itself. One place in fs-driver makes it a FUSE reply, one in server/rpc a response. */
export class FsError extends Error {
  readonly errno: Errno
  readonly detail: Readonly<Record<string, unknown>>

  constructor(errno: Errno, sentence: string, detail: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    super(sentence, options)
    Error.stackTraceLimit = limit
    this.name = 'FsError'
    this.errno = errno
    this.detail = detail
  }
}
