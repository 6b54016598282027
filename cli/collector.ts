import { setFlagsFromString } from 'node:v8'

/**
 * For processes through which large buffers pass. Their heaps are small, and V8 begins to mark one each time some 30 MB of
 * buffers have come and gone, in small steps and on other threads: measured, that was half the processor of a server that
 * takes writes of 1 MiB. Without the steps it collects seldom, in pauses of about 40 ms.
 */
export function collectSeldom(): void {
  setFlagsFromString('--no-incremental-marking')
}
