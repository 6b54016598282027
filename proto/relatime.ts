/** Times of an inode, in nanoseconds since 1970. */
export interface Times {
  readonly atimeNs: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
}

const dayNs = 86_400n * 1_000_000_000n

/**
 * Does a read at `atNs` move the access time? Only one that is the first since the last change, or since a day: so programs
 * still see whether something was read since it was written. Source: fs/inode.c, relatime_need_update.
 */
export const needsAtime = ({ atimeNs, mtimeNs, ctimeNs }: Times, atNs: bigint): boolean =>
  atimeNs <= mtimeNs || atimeNs <= ctimeNs || atNs - atimeNs >= dayNs
