import type { Log, Ms } from '../replication/ports.ts'
import type { OnPartition } from '../replication/record.ts'

/** How long neither the directory nor a primary may have been heard before this side counts as cut off (S23). */
export const partitionAfterMs = 30_000

/** `stop`: everything fails with EIO. `read`: the last state known as committed is read, changes fail with EROFS. */
export type CutOff = 'no' | 'stop' | 'read'

export interface PartitionPorts {
  readonly now: () => Ms
  /** This member may answer: a primary is heard, or it is one. */
  readonly serves: () => boolean
  /** A resync is not half done here. */
  readonly isWhole: () => boolean
  readonly policy: () => OnPartition | undefined
  /** Rejects when the directory does not answer. */
  readonly askDirectory: () => Promise<unknown>
  readonly log: Log
  readonly afterMs?: number
}

/** Whether this side of a partition is the one without a directory, and what its volume's policy says then. */
export class Partition {
  readonly #ports: PartitionPorts
  #heardAt: Ms
  #asking = false
  /** The directory was asked, and did not answer. A process that stood still has not asked. */
  #unanswered = false
  #said: CutOff = 'no'

  constructor(ports: PartitionPorts) {
    this.#ports = ports
    this.#heardAt = ports.now()
  }

  get cutOff(): CutOff {
    const { afterMs = partitionAfterMs, isWhole, now, policy, serves } = this.#ports
    if (!this.#unanswered || serves() || now() - this.#heardAt <= afterMs) return 'no'
    return policy() === 'stop' || !isWhole() ? 'stop' : 'read'
  }

  /** How long neither has been heard. */
  get silentMs(): Ms {
    return this.#ports.now() - this.#heardAt
  }

  /** About once a second. The directory is asked only while there is nobody else. */
  onSecond(): void {
    const { askDirectory, log, now, serves } = this.#ports
    if (serves()) {
      this.#heardAt = now()
      this.#unanswered = false
    } else if (!this.#asking) {
      this.#asking = true
      askDirectory().then(
        () => this.#answered(true),
        () => this.#answered(false),
      )
    }
    const { cutOff } = this
    if (cutOff === this.#said) return
    this.#said = cutOff
    if (cutOff === 'no') log('partition.ends', {})
    else log('partition.begins', { onPartition: cutOff, silentMs: Math.round(this.silentMs) })
  }

  #answered(heard: boolean): void {
    this.#asking = false
    this.#unanswered = !heard
    if (heard) this.#heardAt = this.#ports.now()
  }
}
