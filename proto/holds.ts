/** What one session may hold back, bytes, at most: the primary keeps room for it, so that a flush never finds a full disk. */
export const heldBytesMax = 64 << 20
/** Holds that one session may have, but for those on files in a directory that come all at once. */
export const holdsMax = 2048
/** Of files in a directory, so many at once at most. */
export const childrenMax = 256
/** Numbers of inodes that a session is given at once, at most. */
export const numbersMax = 4096
