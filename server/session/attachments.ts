import type { OrphanRound, RecallHold, SessionAlive } from '../../proto/generated/peer-service.ts'
import type { Ms } from '../../replication/ports.ts'
import type { Attachment } from './attachment.ts'

/** A client that has said nothing for so long is not reported as alive: its stream may be a dead host's. */
const silentMs = 2_000
/** A provider that could not serve for so long sends its clients elsewhere: another may have what it lacks. */
const uselessMs = 1_000

export interface AttachmentsPorts {
  readonly now: () => Ms
  readonly serves: () => boolean
  /** Something has changed of what the primary waits for: who is here, or what a client has open. */
  readonly report: () => void
}

/** All clients of this provider. */
export class Attachments {
  readonly #ports: AttachmentsPorts
  readonly #bySession = new Map<bigint, Attachment>()
  readonly #heard = new Map<Attachment, Ms>()
  #servedAt: Ms
  orphanRound: OrphanRound = { round: 0n, orphans: [] }

  constructor(ports: AttachmentsPorts) {
    this.#ports = ports
    this.#servedAt = ports.now()
  }

  /** One stream a session: a client that comes again has given up the stream before. */
  add(session: bigint, attachment: Attachment): void {
    const former = this.#bySession.get(session)
    this.#bySession.set(session, attachment)
    if (former !== attachment) former?.close('attached anew')
  }

  remove(attachment: Attachment): void {
    this.#heard.delete(attachment)
    const { session } = attachment
    if (session !== undefined && this.#bySession.get(session) === attachment) this.#bySession.delete(session)
  }

  heard(attachment: Attachment): void {
    this.#heard.set(attachment, this.#ports.now())
  }

  /** A client has come, or has answered the present round of orphans. */
  changed(): void {
    this.#ports.report()
  }

  /** Asks the session for a hold, if it is here. */
  recallHold({ session, hold }: RecallHold): void {
    if (hold !== undefined) this.#bySession.get(session)?.recallHold(hold)
  }

  /** The client of that session, if it is here. */
  of(session: bigint): Attachment | undefined {
    return this.#bySession.get(session)
  }

  /** Requests under way: what the directory advertises as load. */
  load(): number {
    let load = 0
    for (const attachment of this.#heard.keys()) load += attachment.requests
    return load
  }

  alive(): readonly SessionAlive[] {
    const since = this.#ports.now() - silentMs
    const sessions: SessionAlive[] = []
    for (const [attachment, at] of this.#heard) {
      const session = at < since ? undefined : attachment.alive()
      if (session !== undefined) sessions.push(session)
    }
    return sessions
  }

  onTick(): void {
    const now = this.#ports.now()
    if (this.#ports.serves()) this.#servedAt = now
    else if (now - this.#servedAt > uselessMs) this.closeAll('this provider does not serve at present')
  }

  closeAll(reason: string): void {
    for (const attachment of this.#heard.keys()) attachment.close(reason)
  }
}
