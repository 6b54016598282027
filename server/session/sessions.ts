import { errnos } from '../../proto/errno.ts'
import type { Hello } from '../../proto/generated/file-service.ts'
import type { SessionAlive } from '../../proto/generated/peer-service.ts'
import type { NodeId, Seq } from '../../proto/ids.ts'
import type { Log, Ms } from '../../replication/ports.ts'
import { encodeBody } from '../store/body.ts'
import type { Effect } from '../store/effect.ts'
import { parseKey, placeKey, prefixes, replyKey, sessionCounter, sessionKey } from '../store/keys.ts'
import { decodeCounter, encodeCounter } from '../store/records.ts'
import { decodeSession, encodeSession, type SessionRecord } from '../store/session-records.ts'
import type { Commits } from './commits.ts'
import type { HandedAnswer } from './forwards.ts'
import type { Holds } from './holds.ts'
import type { Locks } from './locks.ts'
import { type Attempt, type ReplicaPort, type StatePort, slotsMax, type WallClock } from './ports.ts'

/**
 * A session that no provider has heard of for so long is ended. It is as long as its programs may wait for a provider
 * (S29): who comes back in time gets the true result of every change, and has all its locks. Who waits for a lock of a
 * host that is gone waits so long.
 */
export const sessionTimeoutMs = 60_000

/** Each costs a few kilobytes of replies. Beyond it new mounts are refused. */
export const sessionsMax = 4096

export interface LiveSession {
  readonly session: bigint
  readonly record: SessionRecord
  lastHeard: Ms
  /** Where it was heard last; undefined: nowhere under this primary. */
  provider: NodeId | undefined
  /** The last round of orphans that it has answered, and what it had open of those. */
  round: bigint
  open: ReadonlySet<bigint>
}

export interface SessionPorts {
  readonly replica: ReplicaPort
  readonly state: StatePort
  readonly commits: Commits
  readonly nowNs: WallClock
  readonly now: () => Ms
  readonly log: Log
  readonly locks: Locks
  readonly holds: Holds
  readonly timeoutMs: number
}

/** All sessions of a volume, at its primary: opened and ended by entries. */
export class Sessions {
  readonly #ports: SessionPorts
  readonly #live = new Map<bigint, LiveSession>()
  readonly #opening = new Map<string, Promise<HandedAnswer>>()

  constructor(ports: SessionPorts) {
    this.#ports = ports
  }

  /** A new reign begins: all sessions there are have their full time anew (S2). */
  async begin(): Promise<void> {
    const { state, now } = this.#ports
    const rows = await state.scan(prefixes.session, prefixes.session, sessionsMax)
    this.#live.clear()
    for (const [key, value] of rows) {
      const parsed = parseKey(key)
      if (parsed?.kind !== 'session') throw new Error('a scan of sessions brought something else')
      this.#add(parsed.session, decodeSession(value), now())
    }
  }

  all(): Iterable<LiveSession> {
    return this.#live.values()
  }

  heard(session: bigint): Ms | undefined {
    return this.#live.get(session)?.lastHeard
  }

  /** Opens a session by an entry; the answer comes when that is committed. One nonce, one session. */
  async open(hello: Hello, provider: NodeId): Promise<HandedAnswer> {
    for (const { session, record } of this.#live.values()) {
      if (record.nonce === hello.nonce) return { kind: 'opened', session }
    }
    const under = this.#opening.get(hello.nonce)
    if (under !== undefined) return await under
    const opening = this.#open(hello, provider)
    this.#opening.set(hello.nonce, opening)
    try {
      return await opening
    } finally {
      this.#opening.delete(hello.nonce)
    }
  }

  onAlive(from: NodeId, alive: readonly SessionAlive[]): void {
    for (const { session, round, openOrphans } of alive) {
      const live = this.#live.get(session)
      if (live === undefined) continue
      live.lastHeard = this.#ports.now()
      live.provider = from
      if (round < live.round) continue // said at a former provider, and overtaken
      live.round = round
      live.open = new Set(openOrphans)
    }
  }

  /** Ends what has been silent for too long. */
  expire(): void {
    const { now, log, timeoutMs } = this.#ports
    for (const live of this.#live.values()) {
      if (now() - live.lastHeard <= timeoutMs || this.#end(live.session) === undefined) continue
      const { host, pid, path } = live.record
      log('session.ended', { session: String(live.session), host, pid, path, silentMs: now() - live.lastHeard })
    }
  }

  /** Ends a session at its own wish; the answer comes when that is committed. */
  async end(session: bigint): Promise<Attempt> {
    const { commits, log, replica, state } = this.#ports
    if (!replica.mayChange()) return { kind: 'elsewhere' }
    const live = this.#live.get(session)
    const at = live === undefined ? state.dirty(sessionKey(session)) : this.#end(session)
    if (live === undefined && at === undefined) return replica.mayRead() ? { kind: 'ended' } : { kind: 'elsewhere' }
    if (at === undefined || !(await commits.reached(at))) return { kind: 'elsewhere' }
    if (live !== undefined) log('session.ended', { session: String(session), path: live.record.path, asked: true })
    return { kind: 'ended' }
  }

  async #open(hello: Hello, provider: NodeId): Promise<HandedAnswer> {
    const { replica, state, commits, nowNs, now, log } = this.#ports
    const counter = state.pending.get(sessionCounter)
    if (counter === undefined || !replica.mayChange()) return { kind: 'elsewhere' }
    const { next: session, used } = decodeCounter(counter)
    if (this.#live.size >= sessionsMax) {
      return { kind: 'done', errno: errnos.ENOMEM, reply: undefined, position: commits.here }
    }
    const { host, pid, path, nonce } = hello
    const record: SessionRecord = { host, pid, path, nonce, provider, openedNs: nowNs() }
    const proposal = replica.propose(
      encodeBody([
        { kind: 'put', key: sessionCounter, value: encodeCounter({ next: session + 1n, used: used + 1 }) },
        { kind: 'put', key: sessionKey(session), value: encodeSession(record) },
      ]),
    )
    if (proposal.outcome !== 'proposed' || !(await commits.reached(proposal.seq))) return { kind: 'elsewhere' }
    this.#add(session, record, now())
    log('session.opened', { session: String(session), host, pid, path, provider })
    return { kind: 'opened', session }
  }

  /** Where the entry stands; undefined: it can't be ended now. */
  #end(session: bigint): Seq | undefined {
    const { holds, locks, replica, state } = this.#ports
    if (!replica.mayChange()) return undefined
    const keys = [sessionKey(session), placeKey(session)]
    for (let slot = 0; slot < slotsMax; slot++) keys.push(replyKey(session, slot))
    const effects: Effect[] = keys
      .filter((key) => state.pending.get(key) !== undefined)
      .map((key) => ({ kind: 'delete', key }))
    const counter = state.pending.get(sessionCounter)
    if (counter !== undefined && effects.length > 0) {
      const { next, used } = decodeCounter(counter)
      effects.push({ kind: 'put', key: sessionCounter, value: encodeCounter({ next, used: Math.max(used - 1, 0) }) })
    }
    effects.push(...locks.freeing(session), ...holds.freeing(session))
    const proposal = replica.propose(encodeBody(effects))
    if (proposal.outcome !== 'proposed') return undefined
    this.#live.delete(session)
    locks.onSessionEnded(session)
    holds.onSessionEnded(session)
    return proposal.seq
  }

  #add(session: bigint, record: SessionRecord, lastHeard: Ms): void {
    this.#live.set(session, { session, record, lastHeard, provider: undefined, round: 0n, open: new Set() })
  }
}
