import type { Caller } from '../../proto/generated/file-service.ts'
import type { InHeader } from '../protocol/request.ts'
import type { ProcessStatus } from './process-status.ts'

/** A process may change its groups; what it did so long ago is seen, and at once where it was refused. */
const keptMs = 100
const entriesMax = 256

const noGroups: readonly number[] = []

/**
 * Who asks, with all groups. The kernel tells but few of them, so they are looked up in /proc, and kept for a moment: a
 * program that walks a tree asks thousands of times a second.
 */
export class Callers {
  readonly #read: (pid: number) => ProcessStatus | undefined
  readonly #nowMs: () => number
  readonly #known = new Map<string, { readonly groups: readonly number[]; readonly untilMs: number }>()

  constructor(read: (pid: number) => ProcessStatus | undefined, nowMs: () => number) {
    this.#read = read
    this.#nowMs = nowMs
  }

  /** `judged`: the server may decide by the caller's groups. Root's are never asked: it may anyway. */
  of({ uid, gid, pid, groups }: InHeader, { judged }: { judged: boolean }): Caller {
    if (!judged || uid === 0) return { uid, gid, pid, groups: [...groups] }
    const known = this.#groupsOf({ uid, gid, pid })
    return { uid, gid, pid, groups: groups.length === 0 ? [...known] : [...new Set([...known, ...groups])] }
  }

  /**
   * For one who was refused as `before`: the same with the groups it has by now, if these are others. It had a right
   * that was looked for in old groups; that it has lost one is the kernel's to see, which looks before it asks.
   */
  anew(header: InHeader, before: Caller): Caller | undefined {
    if (header.uid === 0) return undefined
    this.#known.delete(idOf(header))
    const now = this.of(header, { judged: true })
    const same = now.groups.length === before.groups.length && now.groups.every((gid) => before.groups.includes(gid))
    return same ? undefined : now
  }

  /** The number of a process may be used again, but hardly by one of the same user and group at once. */
  #groupsOf({ uid, gid, pid }: { uid: number; gid: number; pid: number }): readonly number[] {
    const id = idOf({ pid, uid, gid })
    const nowMs = this.#nowMs()
    const known = this.#known.get(id)
    if (known !== undefined && nowMs < known.untilMs) return known.groups
    if (this.#known.size >= entriesMax) this.#known.clear()
    const groups = this.#read(pid)?.groups ?? noGroups
    this.#known.set(id, { groups, untilMs: nowMs + keptMs })
    return groups
  }
}

const idOf = ({ pid, uid, gid }: { pid: number; uid: number; gid: number }): string => `${pid}:${uid}:${gid}`
