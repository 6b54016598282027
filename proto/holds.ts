/** What one session may hold back, bytes, at most: the primary keeps room for it, so that a flush never finds a full disk. */
export const heldBytesMax = 64 << 20
/** Holds that one session may have. */
export const holdsMax = 1024
/** Numbers of inodes that a session is given at once, at most. */
export const numbersMax = 4096
