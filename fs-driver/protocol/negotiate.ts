/** INIT: what the kernel offers, what this driver wants, what both then do. Source: fuse_kernel.h, protocol 7.45. */

/** Bits of flags (0 to 31) and flags2 (32 to 63) of INIT. */
export const capabilities = {
  ASYNC_READ: 1n << 0n,
  POSIX_LOCKS: 1n << 1n,
  ATOMIC_O_TRUNC: 1n << 3n,
  EXPORT_SUPPORT: 1n << 4n,
  BIG_WRITES: 1n << 5n,
  DONT_MASK: 1n << 6n,
  FLOCK_LOCKS: 1n << 10n,
  HAS_IOCTL_DIR: 1n << 11n,
  AUTO_INVAL_DATA: 1n << 12n,
  DO_READDIRPLUS: 1n << 13n,
  READDIRPLUS_AUTO: 1n << 14n,
  ASYNC_DIO: 1n << 15n,
  WRITEBACK_CACHE: 1n << 16n,
  PARALLEL_DIROPS: 1n << 18n,
  POSIX_ACL: 1n << 20n,
  ABORT_ERROR: 1n << 21n,
  MAX_PAGES: 1n << 22n,
  CACHE_SYMLINKS: 1n << 23n,
  EXPLICIT_INVAL_DATA: 1n << 25n,
  HANDLE_KILLPRIV_V2: 1n << 28n,
  SETXATTR_EXT: 1n << 29n,
  INIT_EXT: 1n << 30n,
  CREATE_SUPP_GROUP: 1n << 34n,
  HAS_EXPIRE_ONLY: 1n << 35n,
  DIRECT_IO_ALLOW_MMAP: 1n << 36n,
  HAS_RESEND: 1n << 39n,
} as const

/**
 * What is asked for while the kernel may cache nothing. POSIX_ACL: without it the kernel, which looks first, would refuse
 * whom only an ACL lets in; it costs a GETXATTR where group bits decide about who is not the owner. POSIX_LOCKS and
 * FLOCK_LOCKS: else the kernel locks locally. Not here, and why: WRITEBACK_CACHE (the kernel would ignore other hosts'
 * sizes and times), AUTO_INVAL_DATA (it beats EXPLICIT_INVAL_DATA), and `cachingCapabilities`.
 */
export const wantedCapabilities: bigint =
  capabilities.ASYNC_READ |
  capabilities.POSIX_LOCKS |
  capabilities.FLOCK_LOCKS |
  capabilities.ATOMIC_O_TRUNC |
  capabilities.BIG_WRITES |
  capabilities.DONT_MASK |
  capabilities.HAS_IOCTL_DIR |
  capabilities.ASYNC_DIO |
  capabilities.PARALLEL_DIROPS |
  capabilities.POSIX_ACL |
  capabilities.ABORT_ERROR |
  capabilities.MAX_PAGES |
  capabilities.EXPLICIT_INVAL_DATA |
  capabilities.HANDLE_KILLPRIV_V2 |
  capabilities.SETXATTR_EXT |
  capabilities.INIT_EXT |
  capabilities.CREATE_SUPP_GROUP |
  capabilities.HAS_EXPIRE_ONLY |
  capabilities.DIRECT_IO_ALLOW_MMAP |
  capabilities.HAS_RESEND

/**
 * For a kernel that may cache: names and attributes in one answer (one that may not throws all attributes away), and the
 * targets of symlinks, which never change.
 */
export const cachingCapabilities: bigint =
  capabilities.DO_READDIRPLUS | capabilities.READDIRPLUS_AUTO | capabilities.CACHE_SYMLINKS

export const protocolMajor = 7
/** The greatest minor whose layouts this driver knows. */
export const protocolMinor = 45
/** Linux 5.4: from here on all layouts in this folder are the kernel's, and max_pages exists. */
export const oldestMinor = 31

/** Longest READ and WRITE: 256 pages, which is /proc/sys/fs/fuse/max_pages_limit as the kernel comes. */
export const transferMax = 1 << 20
export const pageSize = 4096
/** header 40 + write_in 40 + data, and room; a smaller buffer makes every read of the device fail with EINVAL. */
export const frameSize = transferMax + (1 << 16)

/** Requests without a waiting process (readahead, asynchronous direct I/O, RELEASE) in flight at once. */
export const maxBackground = 64
export const congestionThreshold = 48

export interface InitOffer {
  readonly major: number
  readonly minor: number
  readonly maxReadahead: number
  readonly flags: bigint
}

/** What both sides hold to until the mount ends, whatever process drives it. */
export interface Negotiated {
  readonly minor: number
  readonly flags: bigint
  readonly maxReadahead: number
}

export type InitAnswer =
  | { readonly kind: 'agreed'; readonly negotiated: Negotiated }
  /** The kernel speaks a greater major: it is told ours and sends INIT again. */
  | { readonly kind: 'again' }
  | { readonly kind: 'refused'; readonly reason: string }

export function negotiate(offer: InitOffer, wanted: bigint): InitAnswer {
  if (offer.major > protocolMajor) return { kind: 'again' }
  if (offer.major < protocolMajor || offer.minor < oldestMinor) {
    const spoken = `${offer.major}.${offer.minor}`
    return { kind: 'refused', reason: `the kernel speaks FUSE ${spoken}; ${protocolMajor}.${oldestMinor} is needed` }
  }
  const negotiated = {
    minor: Math.min(offer.minor, protocolMinor),
    flags: offer.flags & wanted,
    maxReadahead: offer.maxReadahead,
  }
  return { kind: 'agreed', negotiated }
}

export function has(negotiated: Negotiated, capability: keyof typeof capabilities): boolean {
  return (negotiated.flags & capabilities[capability]) !== 0n
}
