import type { NodeId } from '../../proto/ids.ts'
import type { Host } from './host.ts'
import type { SimNetwork } from './network.ts'
import type { Prng } from './random.ts'
import type { Timeline } from './timeline.ts'
import type { World } from './world.ts'

/** What happens in a cluster, and how often: of so many faults in a week. */
const shares = {
  /** Drained, started anew, and let in again: upgrades are most of what happens to a cluster. */
  restart: 30,
  /** A server process ends, and is started again. */
  death: 20,
  /** A host loses power. */
  powerCut: 12,
  /** Three hosts lose power at once. */
  rackPowerCut: 3,
  /** A process stands still. */
  stop: 10,
  /** A host reaches nobody; two hosts do not reach each other; one does not reach the other. */
  isolate: 8,
  cut: 8,
  cutOneWay: 6,
  /** A host does not reach the directory; nobody does. */
  directoryCut: 6,
  directoryDown: 3,
  /** An operator takes a mirror of some volume out, and puts it back later. */
  removeMirror: 12,
  /** Disks that are full for a while. */
  fullDisk: 4,
} as const
export type FleetFault = keyof typeof shares
export const fleetFaults = Object.keys(shares) as FleetFault[]
const lots = fleetFaults.flatMap((kind) => Array.from({ length: shares[kind] }, () => kind))

export interface FleetParts {
  readonly timeline: Timeline
  readonly network: SimNetwork
  readonly worlds: readonly World[]
  readonly nodes: readonly NodeId[]
  readonly random: Prng
}

/** Lets things go wrong on hosts of a fleet, one after the other, and takes all back in the end. */
export class FleetFaults {
  readonly #parts: FleetParts
  readonly #undo = new Set<() => void>()
  readonly counts = new Map<FleetFault, number>()
  #left = 0
  #isOver = false

  constructor(parts: FleetParts) {
    this.#parts = parts
  }

  begin(count: number, betweenMs: number): void {
    this.#left = count
    if (count > 0) this.#plan(betweenMs)
  }

  /** All have begun, and all but the last few have ended by themselves. */
  get areOver(): boolean {
    return this.#left === 0
  }

  heal(): void {
    this.#isOver = true
    for (const undo of [...this.#undo]) undo()
    for (const world of this.#parts.worlds) for (const host of world.hosts) world.revive(host)
  }

  #plan(betweenMs: number): void {
    const { timeline, random } = this.#parts
    timeline.after(random.exponential(betweenMs), () => {
      if (this.#isOver || this.#left === 0) return
      this.#left -= 1
      const kind = random.pick(lots)
      this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
      this.#begin(kind)
      this.#plan(betweenMs)
    })
  }

  #begin(kind: FleetFault): void {
    const { random, nodes, worlds } = this.#parts
    const [node, other, third] = random.shuffled(nodes)
    if (node === undefined || other === undefined || third === undefined) throw new RangeError('a fleet has hosts')
    switch (kind) {
      case 'restart':
        return this.#restart(node)
      case 'death':
        this.#each(node, (world, host) => world.kill(host))
        return this.#for(1000, () => this.#revive(node))
      case 'powerCut':
        return this.#crash(node)
      case 'rackPowerCut':
        return [node, other, third].forEach((each) => this.#crash(each))
      case 'stop':
        return this.#stop(node)
      case 'isolate':
        return this.#cut(nodes.flatMap((each) => (each === node ? [] : [[node, each] as const, [each, node] as const])))
      case 'cut':
        return this.#cut([
          [node, other],
          [other, node],
        ])
      case 'cutOneWay':
        return this.#cut([[node, other]])
      case 'directoryCut':
        return this.#cutFromDirectory([node])
      case 'directoryDown':
        return this.#cutFromDirectory(nodes)
      case 'removeMirror': {
        // Put back by the restoring look at the end, or by chance.
        const { operator } = random.pick(worlds)
        operator.meddle('removeMirror')
        return this.#for(2000, () => operator.meddle('addMirror'))
      }
      case 'fullDisk':
        return this.#fill(node)
    }
  }

  #restart(node: NodeId): void {
    const { timeline } = this.#parts
    this.#each(node, (world) => world.operator.drain(node, 'begin'))
    timeline.after(1500, () => {
      if (this.#isOver) return
      this.#each(node, (world, host) => world.kill(host))
      this.#for(500, () => {
        this.#revive(node)
        this.#each(node, (world) => world.operator.drain(node, 'end'))
      })
    })
  }

  #crash(node: NodeId): void {
    this.#each(node, (world, host) => world.crash(host))
    this.#for(3000, () => this.#revive(node))
  }

  #stop(node: NodeId): void {
    const stopped: (() => void)[] = []
    this.#each(node, (_, { process }) => {
      if (process === undefined || process.isStopped) return
      process.stop()
      stopped.push(() => process.continue())
    })
    this.#for(2500, () => stopped.forEach((goOn) => goOn()))
  }

  #cut(links: readonly (readonly [NodeId, NodeId])[]): void {
    const undo = links.map(([from, to]) => this.#parts.network.cut(from, to))
    this.#for(2500, () => undo.forEach((each) => each()))
  }

  #cutFromDirectory(nodes: readonly NodeId[]): void {
    const undo = this.#parts.worlds.flatMap(({ directory }) => nodes.map((node) => directory.cut(node)))
    this.#for(2500, () => undo.forEach((each) => each()))
  }

  #fill(node: NodeId): void {
    const set = (full: boolean): void =>
      this.#each(node, (_, host) => {
        host.disk.full = full
        if (!full) host.process?.step(() => host.process?.storage.resume())
      })
    set(true)
    this.#for(2500, () => set(false))
  }

  #revive(node: NodeId): void {
    this.#each(node, (world, host) => world.revive(host))
  }

  /** What that host has of each volume. */
  #each(node: NodeId, act: (world: World, host: Host) => void): void {
    for (const world of this.#parts.worlds) for (const host of world.hosts) if (host.node === node) act(world, host)
  }

  #for(meanMs: number, undo: () => void): void {
    const once = (): void => {
      if (this.#undo.delete(once)) undo()
    }
    this.#undo.add(once)
    this.#parts.timeline.after(200 + this.#parts.random.exponential(meanMs), once)
  }
}
