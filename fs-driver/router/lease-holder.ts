import type { Recall } from '../../proto/generated/file-service.ts'

/** What keeps what providers lease to this driver. The router tells it what the stream says, in the stream's order. */
export interface LeaseHolder {
  /** Resolves when neither driver nor kernel answers from what they had about those inodes. Never rejects. */
  onRecall(recall: Recall): Promise<void>
  /** All leases of the stream hold until then, by the clock that the router was given. */
  onProlonged(untilMs: number): void
  /** For the heartbeat that is sent now: inodes of which nothing is kept any more. */
  takeDropped(): bigint[]
  /** The oldest heartbeat that was not answered is. */
  onDroppedHeard(): void
  /** The stream is gone, or there was none yet. Resolves when everything is forgotten: no Hello is sent earlier. */
  onDetached(): Promise<void>
  onTick(): void
}
