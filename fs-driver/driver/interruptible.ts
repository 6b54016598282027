import { FsError } from '../../proto/errno.ts'
import type { InterruptSignal } from '../router/file-client.ts'

/**
 * Resolves when `work` has; `limitMs`: EIO if it has not by then. `work` never rejects, and goes on in any case.
 *
 * @throws FsError EINTR, EIO
 */
export async function interruptible(
  work: Promise<void>,
  signal: InterruptSignal,
  limitMs = Number.POSITIVE_INFINITY,
): Promise<void> {
  if (signal.aborted) throw interrupted()
  let timer: NodeJS.Timeout | undefined
  let onAbort = (): void => {}
  try {
    await new Promise<void>((resolve, reject) => {
      onAbort = () => reject(interrupted())
      signal.addEventListener('abort', onAbort)
      if (limitMs !== Number.POSITIVE_INFINITY) {
        timer = setTimeout(() => reject(new FsError('EIO', 'no provider answers')), limitMs)
      }
      void work.then(resolve)
    })
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}

const interrupted = (): FsError => new FsError('EINTR', 'interrupted before anything happened')
