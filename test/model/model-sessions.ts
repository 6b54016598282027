import type { Caller, LockRange } from '../../proto/generated/file-service.ts'
import { lastByte, ModelLocks, type Stretch, type Wanted } from './model-locks.ts'
import { type Node, no } from './model-node.ts'
import type { SessionOperation } from './tree-operation.ts'

type Values = { [K in SessionOperation['$case']]: Extract<SessionOperation, { $case: K }>['value'] }

/** Whose session asks, and when. */
export interface Asking {
  readonly caller: Caller
  readonly session: bigint
  readonly now: bigint
}

const day = 86_400n * 1_000_000_000n
const noAtime = 0x80 // FS_NOATIME_FL

/** What sessions have of the inodes: locks and holds; and the reads that they tell of. Answers as ModelFilesystem does. */
export class ModelSessions {
  readonly #nodes: ReadonlyMap<number, Node>
  readonly #locks = new Map<Node, ModelLocks>()
  #asking: Asking = { caller: { uid: 0, gid: 0, groups: [], pid: 0 }, session: 0n, now: 0n }

  constructor(nodes: ReadonlyMap<number, Node>) {
    this.#nodes = nodes
  }

  run(asking: Asking, op: SessionOperation): unknown {
    this.#asking = asking
    const act: (value: never) => unknown = this.#acts[op.$case]
    return act(op.value as never)
  }

  /** Its locks are free. */
  end(session: bigint): void {
    for (const locks of this.#locks.values()) locks.freeSession(session)
  }

  locksOn(node: Node): readonly Stretch[] {
    return this.#locks.get(node)?.stretches() ?? []
  }

  readonly #acts: { [K in keyof Values]: (value: Values[K]) => unknown } = {
    lock: ({ range, handle }) => {
      const wanted = this.#wanted(range)
      const locks = this.#of(this.#node(wanted.ino))
      const denied = locks.against(wanted).length > 0
      if (!denied) locks.take(wanted, { handle, pid: this.#asking.caller.pid })
      else if (wanted.flock) locks.free(wanted) // what was to be converted is given up before
      return denied ? 'denied' : 'granted'
    },
    unlock: ({ range }) => {
      const wanted = this.#wanted(range)
      const node = this.#nodes.get(Number(wanted.ino))
      if (node !== undefined) this.#of(node).free(wanted)
    },
    releaseLocks: ({ ino, handle }) => {
      const node = this.#nodes.get(Number(ino))
      if (node !== undefined) this.#of(node).freeHandle(this.#asking.session, handle)
    },
    getLock: ({ range }) => {
      const wanted = this.#wanted(range)
      const [first] = this.#of(this.#node(wanted.ino)).against(wanted)
      if (first === undefined) return 'free'
      const pid = first.session === wanted.session ? first.pid : 0
      return [first.exclusive, first.start, first.end, pid].join(' ')
    },
    awaitLock: ({ range, leave }) => {
      const wanted = this.#wanted(range)
      if (!leave && this.#of(this.#node(wanted.ino)).against(wanted).length > 0) no('EAGAIN')
    },
    noteReads: ({ reads }) => {
      for (const { ino, atNs, wasNs } of reads) {
        const node = this.#nodes.get(Number(ino))
        if (node === undefined || node.flags & noAtime) continue
        const at = atNs < this.#asking.now ? atNs : this.#asking.now
        const seen = wasNs === undefined ? at > node.ctime : wasNs === node.atime
        const due = node.atime <= node.mtime || node.atime <= node.ctime || at >= node.atime + day
        if (seen && due && at > node.atime) node.atime = at
      }
    },
    releaseHolds: ({ holds }) => {
      for (const { ino, number } of holds) {
        const node = this.#nodes.get(Number(ino))
        if (node?.hold?.session === this.#asking.session && node.hold.number === number) node.hold = undefined
      }
    },
    awaitRelease: ({ inos }) => {
      const held = inos.map((ino) => this.#nodes.get(Number(ino))?.hold)
      if (held.some((hold) => hold !== undefined && hold.session !== this.#asking.session)) no('EAGAIN')
    },
  }

  #wanted(range: LockRange | undefined): Wanted {
    if (range === undefined || range.start > range.end || range.end > lastByte) return no('EINVAL')
    return { ...range, session: this.#asking.session }
  }

  #node = (ino: bigint): Node => this.#nodes.get(Number(ino)) ?? no('ESTALE')

  #of(node: Node): ModelLocks {
    const locks = this.#locks.get(node) ?? new ModelLocks()
    this.#locks.set(node, locks)
    return locks
  }
}
