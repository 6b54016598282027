import assert from 'node:assert/strict'

/**
 * A failed fsync is never tried again: what the kernel then says of those pages is not to be trusted (S11). Whatever this
 * member's role is, its process ends; as its store says so too, its successor counts as one that has lost something (R12).
 */
export function assertFlushed(outcome: 'flushed' | 'failed'): void {
  assert(outcome === 'flushed', 'the disk refused a flush, so nobody knows what it holds: this process ends')
}
