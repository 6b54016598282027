import type { OrphanRound } from '../../proto/generated/peer-service.ts'
import { type Key, key } from '../../proto/ids.ts'
import type { Log } from '../../replication/ports.ts'
import { reap } from '../filesystem/reap.ts'
import { encodeBody } from '../store/body.ts'
import { orphanKey, parseKey, prefixes } from '../store/keys.ts'
import type { Holds } from './holds.ts'
import type { ReplicaPort, StatePort } from './ports.ts'
import type { Sessions } from './sessions.ts'

/** Asked about in one round: a heartbeat carries them all. */
const roundMax = 4096
/** Reaped by one entry, so that no entry keeps the others waiting for long. */
const reapedAtOnce = 256

export interface OrphanPorts {
  readonly replica: ReplicaPort
  readonly state: StatePort
  readonly sessions: Sessions
  readonly holds: Pick<Holds, 'proposed'>
  readonly log: Log
  /** Lets every provider, this member included, ask its sessions. */
  readonly ask: (round: OrphanRound) => void
}

/**
 * Inodes without a name, at the primary: they go when every live session has said, after it was asked, that it does not
 * have them open (S27).
 */
export class Orphans {
  readonly #ports: OrphanPorts
  #round: OrphanRound = { round: 0n, orphans: [] }
  /** Where the next round goes on: open orphans must not keep the others from being asked about. */
  #from: Key = prefixes.orphan
  #busy = false
  /** Open in the last round. */
  #kept = 0

  constructor(ports: OrphanPorts) {
    this.#ports = ports
  }

  /** Answers to rounds of earlier reigns count for nothing: their numbers are smaller. */
  begin(epoch: number): void {
    this.#round = { round: BigInt(epoch) << 24n, orphans: [] }
    this.#from = prefixes.orphan
  }

  /** Called about once a second. */
  async onTick(): Promise<void> {
    const { replica, ask } = this.#ports
    if (this.#busy || !replica.mayChange()) return
    this.#busy = true
    try {
      if (this.#round.orphans.length > 0) {
        if (!this.#answered()) return ask(this.#round)
        await this.#reap()
      }
      await this.#nextRound()
    } finally {
      this.#busy = false
    }
  }

  #answered(): boolean {
    for (const { round } of this.#ports.sessions.all()) if (round < this.#round.round) return false
    return true
  }

  async #reap(): Promise<void> {
    const { holds, replica, sessions, state, log } = this.#ports
    const open = new Set<bigint>()
    for (const session of sessions.all()) for (const ino of session.open) open.add(ino)
    const dead = this.#round.orphans.filter((ino) => !open.has(ino))
    for (let at = 0; at < dead.length; at += reapedAtOnce) {
      const effects = reap(state.pending, dead.slice(at, at + reapedAtOnce))
      if (effects.length > 0 && replica.propose(encodeBody(effects)).outcome !== 'proposed') return
      holds.proposed(effects)
      await turn()
    }
    if (dead.length > 0) log('orphans.reaped', { reaped: dead.length })
    if (open.size !== this.#kept) log('orphans.kept', { open: open.size })
    this.#kept = open.size
  }

  async #nextRound(): Promise<void> {
    const { state, ask } = this.#ports
    const rows = await state.scan(prefixes.orphan, this.#from, roundMax)
    const last = rows.at(-1)
    this.#from = rows.length < roundMax || last === undefined ? prefixes.orphan : after(last[0])
    // What was reaped just now may still stand in committed state.
    const orphans = rows.flatMap(([orphan]) => inoOf(orphan)).filter((ino) => state.pending.get(orphanKey(ino)))
    this.#round = { round: this.#round.round + 1n, orphans }
    if (orphans.length === 0) return
    ask(this.#round)
  }
}

function inoOf(orphan: Key): readonly bigint[] {
  const parsed = parseKey(orphan)
  return parsed?.kind === 'orphan' ? [parsed.ino] : []
}

const after = (last: Key): Key => key(`${last}\0`)
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
