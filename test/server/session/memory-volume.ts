import type { Caller } from '../../../proto/generated/file-service.ts'
import { epoch, type Key, type NodeId, type Seq, seq } from '../../../proto/ids.ts'
import type { EpochStart } from '../../../replication/entry.ts'
import { epochAt, standing } from '../../../replication/history.ts'
import type { ReplicaStatus } from '../../../replication/status.ts'
import { format } from '../../../server/filesystem/format.ts'
import { Commits } from '../../../server/session/commits.ts'
import { Executor } from '../../../server/session/executor.ts'
import { type HoldPorts, Holds } from '../../../server/session/holds.ts'
import { Locks } from '../../../server/session/locks.ts'
import type { ReplicaPort, StatePort } from '../../../server/session/ports.ts'
import { decodeBody } from '../../../server/store/body.ts'
import type { Effect } from '../../../server/store/effect.ts'
import { sessionKey } from '../../../server/store/keys.ts'
import { encodeSession } from '../../../server/store/session-records.ts'

export const root: Caller = { uid: 0, gid: 0, groups: [], pid: 1 }

/** One member's state and replica, in memory: what is proposed waits until `commit`. */
export class MemoryVolume {
  readonly self: NodeId
  starts: readonly EpochStart[] = [{ epoch: epoch(1), first: seq(1) }]
  readonly commits = new Commits(seq(0), (at) => ({ epoch: epochAt(this.starts, at), seq: at }))
  readonly #keys = new Map<Key, Uint8Array>()
  readonly #blobs = new Map<bigint, Buffer>()
  #entries: { readonly seq: Seq; readonly effects: readonly Effect[] }[] = []
  #last = 0
  /** What `propose` and `mayChange` say. */
  outcome: 'proposed' | 'not primary' | 'full' = 'proposed'
  mayRead = true
  /** Commit at once, as a volume with one member does. */
  alone = false
  primary: NodeId
  handedOverTo: NodeId | undefined
  askCommit: (ticket: number) => void = () => {}
  members: ReplicaStatus['members'] = []

  constructor(name = 's1') {
    this.self = name as NodeId
    this.primary = this.self
    this.put(format({ nowNs: 1n }))
  }

  get last(): Seq {
    return seq(this.#last)
  }

  /** As if it had always been there. */
  put(effects: readonly Effect[]): void {
    for (const effect of effects) this.#apply(effect)
  }

  openSession(session: bigint): void {
    const record = { host: 'h', pid: 1, path: '/', nonce: `n${session}`, provider: '', openedNs: 0n }
    this.put([{ kind: 'put', key: sessionKey(session), value: encodeSession(record) }])
  }

  append(body: Uint8Array): Seq {
    const effects = decodeBody(body)
    if (effects === undefined) throw new Error('a body that is none')
    this.#last++
    this.#entries.push({ seq: seq(this.#last), effects })
    return seq(this.#last)
  }

  commit(to = this.#last): void {
    for (const entry of this.#entries) if (entry.seq <= to) for (const effect of entry.effects) this.#apply(effect)
    this.#entries = this.#entries.filter((entry) => entry.seq > to)
    this.commits.onCommitted(seq(to))
  }

  /** Another member leads, and has other entries after what is committed. */
  lose(): void {
    this.outcome = 'not primary'
    this.#entries = []
    this.#last = this.commits.committed
    this.commits.giveUp()
  }

  readonly replica: ReplicaPort = {
    propose: (body) => {
      if (this.outcome !== 'proposed') return { outcome: this.outcome }
      const at = this.append(body)
      if (this.alone) this.commit()
      return { outcome: 'proposed', seq: at }
    },
    mayRead: () => this.mayRead,
    mayChange: () => this.outcome !== 'not primary',
    primary: () => this.primary,
    askCommit: (ticket) => this.askCommit(ticket),
    flush: () => {},
    standing: (seen) => standing(this.starts, this.commits.committed, seen),
    handOver: (to) => {
      this.handedOverTo = to
    },
    status: () => ({
      role: 'primary',
      epoch: 1 as ReplicaStatus['epoch'],
      last: this.last,
      committed: this.commits.committed,
      progress: undefined,
      members: this.members,
    }),
  }

  readonly state: StatePort = {
    committed: { get: (key) => this.#keys.get(key) },
    pending: {
      get: (key) => {
        for (const { effects } of [...this.#entries].reverse()) {
          const effect = effects.findLast((one) => 'key' in one && one.key === key)
          if (effect !== undefined) return effect.kind === 'put' ? effect.value : undefined
        }
        return this.#keys.get(key)
      },
    },
    dirty: (key) =>
      this.#entries.findLast(({ effects }) => effects.some((one) => 'key' in one && one.key === key))?.seq,
    readBlob: async (blob, offset, length) =>
      this.#blobs.get(blob)?.subarray(offset, offset + length) ?? new Uint8Array(0),
    scan: async (prefix, from, count) =>
      [...this.#keys]
        .filter(([key]) => key.startsWith(prefix) && key >= from)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .slice(0, count),
    backlog: () => ({ overlayBytes: 0, stagingBytes: 0, over: false }),
    space: () => ({ freeBytes: 2 ** 40, totalBytes: 2 ** 40 }),
  }

  locks(now = () => 0): Locks {
    return new Locks({ state: this.state, commits: this.commits, now })
  }

  holds(options: { readonly now?: () => number; readonly ask?: HoldPorts['ask'] } = {}): Holds {
    const { now = () => 0, ask = () => {} } = options
    const { replica, state, commits } = this
    const heard = (): undefined => undefined
    return new Holds({ replica, state, commits, now, heard, ask, freeBytes: () => 2 ** 40, log: () => {} })
  }

  executor(
    options: {
      readonly hasSpace?: () => boolean
      readonly log?: (event: string) => void
      readonly locks?: Locks
      readonly holds?: Holds
    } = {},
  ): Executor {
    return new Executor({
      replica: this.replica,
      state: this.state,
      commits: this.commits,
      nowNs: () => 7n,
      log: options.log ?? (() => {}),
      locks: options.locks ?? this.locks(),
      holds: options.holds ?? this.holds(),
      freeBytes: () => (options.hasSpace?.() === false ? 0 : 2 ** 40),
      room: () => undefined,
    })
  }

  #apply(effect: Effect): void {
    switch (effect.kind) {
      case 'put':
        this.#keys.set(effect.key, effect.value)
        return
      case 'delete':
        this.#keys.delete(effect.key)
        return
      case 'blob.write': {
        const before = this.#blobs.get(effect.blob) ?? Buffer.alloc(0)
        const after = Buffer.alloc(Math.max(before.length, effect.offset + effect.data.length))
        after.set(before)
        after.set(effect.data, effect.offset)
        this.#blobs.set(effect.blob, after)
        return
      }
      case 'blob.truncate': {
        const after = Buffer.alloc(effect.size)
        after.set((this.#blobs.get(effect.blob) ?? Buffer.alloc(0)).subarray(0, effect.size))
        this.#blobs.set(effect.blob, after)
        return
      }
      case 'blob.zero':
        this.#blobs.get(effect.blob)?.fill(0, effect.offset, effect.offset + effect.count)
        return
      case 'blob.delete':
        this.#blobs.delete(effect.blob)
        return
    }
  }
}
