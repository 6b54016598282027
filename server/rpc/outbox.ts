import type { PeerMessage } from '../../proto/generated/peer-service.ts'

/** A message, and the large bytes that go with it. */
export interface Packed {
  readonly message: PeerMessage
  readonly bodies: readonly Uint8Array[]
}

/** Where frames go; `written` is called when one has left this process, or never will. */
export interface FrameSink {
  write(packed: readonly Packed[], written: () => void): void
  /** The peer does not drain: give it up. */
  overflow(): void
}

/** A subscriber that lets so much pile up is dropped; replication brings it what it missed when it comes again. */
export const outboxBytesMax = 64 << 20
/** Messages are put together in one frame up to about so much. */
const frameBytesMax = 1 << 20
/** About what a message takes besides its bodies. */
const headBytes = 150

/**
 * Messages for one peer, in order. One frame is on its way at a time; what comes up meanwhile, or in the same turn, goes
 * together in the next.
 */
export class Outbox {
  readonly #sink: FrameSink
  #waiting: { readonly packed: Packed; readonly bytes: number }[] = []
  #bytes = 0
  #busy = false
  #closed = false

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  push(packed: Packed): void {
    if (this.#closed) return
    let bytes = headBytes
    for (const body of packed.bodies) bytes += body.length
    this.#waiting.push({ packed, bytes })
    this.#bytes += bytes
    if (this.#bytes > outboxBytesMax) {
      this.close()
      return this.#sink.overflow()
    }
    if (this.#busy) return
    this.#busy = true
    process.nextTick(this.#write)
  }

  close(): void {
    this.#closed = true
    this.#waiting = []
    this.#bytes = 0
  }

  readonly #write = (): void => {
    let count = 0
    let bytes = 0
    for (const waiting of this.#waiting) {
      if (count > 0 && bytes + waiting.bytes > frameBytesMax) break
      bytes += waiting.bytes
      count++
    }
    if (count === 0) {
      this.#busy = false
      return
    }
    const packed = this.#waiting.splice(0, count).map((waiting) => waiting.packed)
    this.#sink.write(packed, () => {
      if (this.#closed) return
      this.#bytes -= bytes
      this.#write()
    })
  }
}
