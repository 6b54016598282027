/** What is held back stands in memory (tmpfs), and there was no more. */
export const isOutOfMemory = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'ENOMEM')
