import type { Key, NodeId } from '../../proto/ids.ts'
import type { SimDirectory } from './directory.ts'
import type { Disk } from './disk.ts'
import type { Host } from './host.ts'
import { blockPart, keyPart } from './items.ts'
import { type FaultKind, faultKinds, type Mix } from './mixes.ts'
import type { SimNetwork } from './network.ts'
import type { Operator } from './operator.ts'
import type { Prng } from './random.ts'
import type { Timeline } from './timeline.ts'
import type { Trace } from './trace.ts'

/** What faults may do to a simulation. */
export interface Victim {
  readonly timeline: Timeline
  readonly network: SimNetwork
  readonly directory: SimDirectory
  readonly trace: Trace
  readonly hosts: readonly Host[]
  readonly operator: Operator
  readonly clients: readonly string[]
  /** For counting. */
  happened(what: string): void
  /** The process on a host ends; a supervisor may see it. */
  kill(host: Host): void
  /** The machine goes down, with its process. */
  crash(host: Host): void
  /** Every member has all that it ever said it had. */
  areWhole(): boolean
  /** Its process ends, and nothing is left on its disk. */
  wipe(host: Host): void
  /** Starts the machine if it is down, and its process if there is none. */
  revive(host: Host): void
}

/** Lets things go wrong at random times, and at the end takes everything back. */
export class Faults {
  readonly #victim: Victim
  readonly #random: Prng
  readonly #mix: Mix
  readonly #undo = new Set<() => void>()
  #isOver = false

  constructor(victim: Victim, random: Prng, mix: Mix) {
    this.#victim = victim
    this.#random = random
    this.#mix = mix
    for (const kind of faultKinds) this.#plan(kind)
  }

  /** From now on nothing goes wrong. */
  heal(): void {
    this.#isOver = true
    for (const undo of [...this.#undo]) undo()
    for (const host of this.#victim.hosts) {
      host.process?.spare()
      this.#victim.revive(host)
    }
  }

  #plan(kind: FaultKind): void {
    const mean = this.#mix.faults[kind]
    if (mean === undefined) return
    this.#victim.timeline.after(300 + this.#random.exponential(mean), () => {
      if (this.#isOver) return
      this.#victim.happened(`fault.${kind}`)
      this.#begin(kind)
      this.#plan(kind)
    })
  }

  /** Takes `undo` back some time later, or when all is over. */
  #for(meanMs: number, undo: () => void): void {
    const once = () => {
      if (this.#undo.delete(once)) undo()
    }
    this.#undo.add(once)
    this.#victim.timeline.after(20 + this.#random.exponential(meanMs), once)
  }

  #begin(kind: FaultKind): void {
    const host = this.#random.pick(this.#victim.hosts)
    const { trace, directory, hosts } = this.#victim
    switch (kind) {
      case 'kill':
      case 'killAtPlace':
      case 'hostCrash':
      case 'powerLoss':
        return this.#beginDeath(kind, host)
      case 'stop':
      case 'pause':
        return this.#beginStop(host, kind === 'stop' ? 2000 : 150)
      case 'cut':
      case 'cutOneWay':
      case 'isolate':
      case 'sever':
      case 'hold':
      case 'slowLink':
        return this.#beginLink(kind, host.node)
      case 'directoryDown': {
        trace.add(() => 'FAULT: the directory is down')
        const undo = hosts.map((each) => directory.cut(each.node))
        return this.#for(1500, () => undo.forEach((each) => each()))
      }
      case 'directoryCut':
        trace.add(() => `FAULT: ${host.node} can't reach the directory`)
        return this.#for(1500, directory.cut(host.node))
      case 'rewatch':
        return directory.cut(host.node)()
      case 'lagWatch':
        trace.add(() => `FAULT: watches of ${host.node} lag`)
        return this.#for(1500, directory.lag(host.node, this.#random.pick([100, 500, 2000])))
      case 'clockStep':
        host.stepClock(this.#random.pick([-1, 1]) * this.#random.pick([1000, 60_000, 3_600_000]))
        return trace.add(() => `FAULT: the clock of ${host.node} is set to ${host.wall()}`)
      case 'wipe':
        return this.#wipe(host)
      case 'fullDisk':
      case 'hungDisk':
      case 'failedFlush':
      case 'flip':
        return this.#beginDisk(kind, host)
      case 'handOver':
      case 'resyncFully':
        return this.#order(kind, host)
      case 'addMirror':
      case 'removeMirror':
      case 'drain':
      case 'setMinInSync':
        return this.#victim.operator.meddle(kind)
    }
  }

  #beginDeath(kind: 'kill' | 'killAtPlace' | 'hostCrash' | 'powerLoss', host: Host): void {
    const { trace, hosts } = this.#victim
    trace.add(() => `FAULT: ${kind} ${kind === 'powerLoss' ? 'of all' : host.node}`)
    const awayMs = this.#random.pick([100, 1000, 3000])
    const revive = (each: Host) => this.#for(awayMs, () => this.#victim.revive(each))
    if (kind === 'kill') this.#victim.kill(host)
    else if (kind === 'killAtPlace') host.process?.killAfter(this.#random.below(this.#random.pick([3, 10, 40])))
    else if (kind === 'hostCrash') this.#victim.crash(host)
    else {
      for (const each of hosts) {
        // Not all in the same moment: what the last one up has alone is what counts then.
        this.#victim.timeline.after(this.#random.chance(0.5) ? 0 : this.#random.exponential(20), () => {
          if (this.#isOver) return
          this.#victim.crash(each)
          revive(each)
        })
      }
      return
    }
    revive(host)
  }

  #beginStop(host: Host, meanMs: number): void {
    const { process } = host
    if (process === undefined || process.isStopped) return
    this.#victim.trace.add(() => `FAULT: ${process.incarnation} is stopped`)
    process.stop()
    const mayRead = process.replica.mayRead()
    this.#for(meanMs, () => {
      if (mayRead && !process.replica.mayRead()) this.#victim.happened('lease.ended-while-stopped')
      this.#victim.trace.add(() => `${process.incarnation} goes on`)
      process.continue()
    })
  }

  #beginLink(kind: 'cut' | 'cutOneWay' | 'isolate' | 'sever' | 'hold' | 'slowLink', node: NodeId): void {
    const { network, trace, hosts, clients } = this.#victim
    const places = [...hosts.map((host) => host.node), ...clients].filter((place) => place !== node)
    if (places.length === 0) return
    const other = this.#random.pick(places)
    trace.add(() => `FAULT: ${kind} ${node} ${kind === 'isolate' || kind === 'sever' ? '' : other}`)
    const undo: (() => void)[] = []
    if (kind === 'cut') undo.push(network.cut(node, other), network.cut(other, node))
    if (kind === 'cutOneWay') undo.push(this.#random.chance(0.5) ? network.cut(node, other) : network.cut(other, node))
    if (kind === 'isolate' || kind === 'sever') {
      // Severed, it reaches neither the directory nor most of the other members, but its clients: what may it tell them?
      const reached = (place: string) => kind === 'sever' && (clients.includes(place) || this.#random.chance(0.25))
      const others = places.filter((place) => !reached(place))
      if (kind === 'sever' || this.#random.chance(0.5)) undo.push(this.#victim.directory.cut(node))
      for (const place of others) undo.push(network.cut(node, place), network.cut(place, node))
    }
    if (kind === 'slowLink') {
      const slowMs = this.#random.pick([20, 100, 400, 1500])
      undo.push(network.slow(node, other, slowMs), network.slow(other, node, slowMs))
    }
    if (kind === 'hold') return this.#holdOneByOne(this.#random.shuffled(places))
    this.#for(kind === 'sever' ? 3000 : 1500, () => undo.forEach((each) => each()))
  }

  /** Links stop one by one and are let go in another order. */
  #holdOneByOne(places: readonly string[]): void {
    const { network, timeline } = this.#victim
    for (const place of places.slice(0, 1 + this.#random.below(places.length))) {
      const other = this.#random.pick(this.#victim.hosts).node
      timeline.after(this.#random.exponential(100), () => {
        if (!this.#isOver) this.#for(600, network.hold(place, other))
      })
    }
  }

  #beginDisk(kind: 'fullDisk' | 'hungDisk' | 'failedFlush' | 'flip', host: Host): void {
    const { disk } = host
    if (kind === 'flip') return this.#flip(host)
    this.#victim.trace.add(() => `FAULT: ${kind} ${host.node}`)
    if (kind === 'failedFlush') {
      disk.failsNextFlush = true
      return this.#for(1500, () => {
        disk.failsNextFlush = false
      })
    }
    disk[kind === 'fullDisk' ? 'full' : 'hung'] = true
    this.#for(1500, () => {
      disk[kind === 'fullDisk' ? 'full' : 'hung'] = false
      host.process?.step(() => host.process?.storage.resume())
    })
  }

  /** Another disk is put in: one at a time, while all others have everything. */
  #wipe(host: Host): void {
    const { directory, hosts, trace } = this.#victim
    const { inSync } = directory.current.record
    if (hosts.length < 2 || inSync.length < hosts.length || !this.#victim.areWhole()) return
    trace.add(() => `FAULT: the disk of ${host.node} is emptied`)
    this.#victim.happened('disk.wiped')
    this.#victim.wipe(host)
    this.#for(this.#random.pick([100, 1000, 3000]), () => this.#victim.revive(host))
  }

  /** One bit of one value, on one disk only, while all others of the set are whole. */
  #flip(host: Host): void {
    const { hosts, trace, directory } = this.#victim
    if (hosts.some((other) => other.disk.os.state.damaged.size > 0) || hosts.length < 3) return
    if (directory.current.record.inSync.length < hosts.length) return
    const part = flipIn(host.disk, this.#random)
    if (part === undefined) return
    trace.add(() => `FAULT: a bit of ${part} is flipped on ${host.node}`)
    // Perhaps at the source of a resync that begins just now.
    if (this.#random.chance(0.5)) this.#order('resyncFully', this.#random.pick(hosts))
  }

  /** What an operator may ask of the primary at any time. */
  #order(kind: 'handOver' | 'resyncFully', to: Host): void {
    // Where bits are flipped, a second copy stays whole.
    const { inSync } = this.#victim.directory.current.record
    if (this.#mix.faults.flip !== undefined && inSync.length < this.#victim.hosts.length) return
    const primary = this.#victim.hosts.find(
      (host) => host.process?.isStopped === false && host.process.replica.mayChange(),
    )
    this.#victim.trace.add(() => `ORDER: ${primary?.node} ${kind} ${to.node}`)
    primary?.process?.step(() => primary.process?.replica[kind](to.node))
  }
}

function flipIn(disk: Disk, random: Prng): string | undefined {
  const { keys, blobs, damaged } = disk.os.state
  const names = [...keys.keys()].filter((key) => /^[rld]/.test(key)).sort()
  const blob = random.chance(0.5) ? [...blobs.keys()][0] : undefined
  const bytes = blob === undefined ? undefined : blobs.get(blob)
  if (blob !== undefined && bytes !== undefined && bytes.length > 0) {
    const spoilt = Uint8Array.from(bytes)
    const at = random.below(spoilt.length)
    const [part = '', sum] = blockPart(disk.os.state, blob, at)[0] ?? []
    spoilt[at] = (spoilt[at] ?? 0) ^ 1
    blobs.set(blob, spoilt)
    damaged.set(part, sum)
    return part
  }
  if (names.length === 0) return undefined
  const key: Key = random.pick(names)
  const value = Uint8Array.from(keys.get(key) ?? [])
  const sum = keyPart(disk.os.state, key)[0]?.[1]
  if (value.length === 0) return undefined
  value[random.below(value.length)] = 0x21
  keys.set(key, value)
  damaged.set(key, sum)
  return key
}
