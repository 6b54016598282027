import type { Prng } from './random.ts'
import type { Timeline } from './timeline.ts'

/** How messages fare in one run. */
export interface NetworkProfile {
  /** Chance that one message is lost, or comes twice. */
  readonly loss: number
  readonly duplicate: number
  /** Shortest time on the way, and the mean of what is added to it at random. */
  readonly delayMs: number
  readonly jitterMs: number
  /** Messages of one connection arrive in the order they were sent. */
  readonly inOrder: boolean
  /** Bulk connections carry so many bytes in a ms. */
  readonly bytesPerMs: number
}

export interface Packet {
  readonly bytes: number
  /** On the connection of its own for what must not wait behind bulk (S19). */
  readonly control: boolean
  deliver(): void
}

interface Link {
  /** Everything sent is lost. */
  cut: number
  /** Everything sent waits, until the link is let go. */
  held: Packet[] | undefined
  slowMs: number
  /** When the last message arrives; control and bulk. */
  readonly arrival: [control: number, bulk: number]
  busyUntil: number
}

/** Messages between any two named places. Each direction is a link of its own. */
export class SimNetwork {
  readonly #timeline: Timeline
  readonly #random: Prng
  readonly #links = new Map<string, Map<string, Link>>()
  profile: NetworkProfile

  constructor(timeline: Timeline, random: Prng, profile: NetworkProfile) {
    this.#timeline = timeline
    this.#random = random
    this.profile = profile
  }

  send(from: string, to: string, packet: Packet): void {
    const link = this.#link(from, to)
    if (link.cut > 0 || this.#random.chance(this.profile.loss)) return
    if (link.held !== undefined) {
      link.held.push(packet)
      return
    }
    this.#carry(link, packet)
    if (this.#random.chance(this.profile.duplicate)) this.#carry(link, packet)
  }

  /** Cuts count: a link works again when each of them is taken back. */
  cut(from: string, to: string): () => void {
    const link = this.#link(from, to)
    link.cut += 1
    return () => {
      link.cut -= 1
    }
  }

  hold(from: string, to: string): () => void {
    const link = this.#link(from, to)
    if (link.held !== undefined) return () => undefined
    link.held = []
    return () => {
      const held = link.held ?? []
      link.held = undefined
      const order = this.profile.inOrder ? held : this.#random.shuffled(held)
      for (const packet of order) this.#carry(link, packet)
    }
  }

  slow(from: string, to: string, slowMs: number): () => void {
    const link = this.#link(from, to)
    link.slowMs += slowMs
    return () => {
      link.slowMs -= slowMs
    }
  }

  #carry(link: Link, packet: Packet): void {
    const { delayMs, jitterMs, inOrder, bytesPerMs } = this.profile
    const { now } = this.#timeline
    let at = now + link.slowMs + delayMs + this.#random.exponential(jitterMs)
    if (!packet.control) {
      link.busyUntil = Math.max(now, link.busyUntil) + packet.bytes / bytesPerMs
      at += link.busyUntil - now
    }
    const connection = packet.control ? 0 : 1
    if (inOrder) at = Math.max(at, link.arrival[connection])
    link.arrival[connection] = at
    this.#timeline.after(at - now, () => packet.deliver())
  }

  #link(from: string, to: string): Link {
    let links = this.#links.get(from)
    if (links === undefined) {
      links = new Map()
      this.#links.set(from, links)
    }
    let link = links.get(to)
    if (link === undefined) {
      link = { cut: 0, held: undefined, slowMs: 0, arrival: [0, 0], busyUntil: 0 }
      links.set(to, link)
    }
    return link
  }
}
