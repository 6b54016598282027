import type { Epoch, Incarnation, Key, NodeId, Seq } from '../../proto/ids.ts'
import { type Entry, nextChain, type Position } from '../../replication/entry.ts'
import type { VolumeRecord } from '../../replication/record.ts'
import { checkBody, decodeBody, ofBody, untext } from './body.ts'
import type { Disk } from './disk.ts'
import { flushSlots, type Hold, holdsIn, releaseSlots } from './holds.ts'
import { inosIn, type Op, objectOf, touchedBy } from './operations.ts'
import { decodeReply, type RequestId, requestName } from './session.ts'
import { touchOf } from './state.ts'
import { Violation } from './violation.ts'

/** Everything after `kept` was lost when all hosts of the set had lost power: allowed, but for what was flushed (R12). */
export interface Loss {
  readonly at: number
  readonly kept: Seq
  readonly log: readonly Entry[]
}

/** What clients knew at some time to be committed: all up to there, less what was lost since. */
export interface Known {
  readonly seq: Seq
  /** How often something had been lost by then. */
  readonly losses: number
}

export const nothingKnown: Known = { seq: 0 as Seq, losses: 0 }

export interface OracleView {
  now(): number
  record(): VolumeRecord
  /** The newest that the process there was told. */
  recordSeenBy(node: NodeId): VolumeRecord | undefined
  readonly disks: ReadonlyMap<NodeId, Disk>
}

/** A client that may answer by itself. */
interface Keeper {
  readonly name: string
  kept(object: string): { readonly at: Position } | undefined
}

/** Sees everything, at all members at once, and stops the run at the first thing that must not be. */
export class Oracle {
  readonly #view: OracleView
  /** What has been committed anywhere: entry n at n - 1. */
  #log: Entry[] = []
  /** One label names one entry, for ever. */
  readonly #labels = new Map<string, Entry>()
  #requests = new Map<string, Seq>()
  /** Greatest sequence whose effect a client knows of, and that was said to be on all disks. */
  #known = 0 as Seq
  #flushed = 0 as Seq
  /** Members whose hosts lost power since they last had everything, and which process did not live through that. */
  readonly #torn = new Map<NodeId, Incarnation>()
  /** The epoch in which nobody was left who had everything, until a later one has begun (R12). */
  #lostIn: Epoch | undefined
  readonly losses: Loss[] = []
  /** Who holds what, as of what is committed. */
  #holds = new Map<string, Hold>()
  /** Holds that somebody ended who did not have them: by object, session and number. */
  readonly #fenced = new Set<string>()
  #clients: readonly Keeper[] = []

  constructor(view: OracleView) {
    this.#view = view
  }

  get log(): readonly Entry[] {
    return this.#log
  }
  get known(): Known {
    return { seq: this.#known, losses: this.losses.length }
  }

  /** A member put an entry into its journal. */
  appended(entry: Entry): void {
    const label = `${entry.epoch}:${entry.seq}`
    const known = this.#labels.get(label)
    if (known === undefined) this.#labels.set(label, entry)
    else if (known.chain !== entry.chain) throw new Violation('labels', 'R1', `two entries are called ${label}`)
  }

  /** A member applied an entry, so it takes it for committed. */
  applied(node: NodeId, entry: Entry): void {
    const known = this.#log[entry.seq - 1]
    if (known !== undefined && known.epoch === entry.epoch && known.chain === entry.chain) return
    if (known !== undefined) this.#lose(node, entry)
    this.#checkFirstCommit(node, entry)
    this.#log.push(entry)
    this.#checkCaches(node, entry)
    this.#checkHolds(entry)
    if (this.#lostIn !== undefined && entry.epoch > this.#lostIn) {
      this.#lostIn = undefined
      this.#torn.delete(node)
    }
    const request = requestOf(entry)
    if (request === undefined) return
    if (this.#requests.has(request)) {
      throw new Violation(
        'exactly once',
        'R29',
        `request ${request} takes effect twice: at ${this.#requests.get(request)} and ${entry.seq}`,
      )
    }
    this.#requests.set(request, entry.seq)
  }

  /** Nobody changes what another session holds; and what was held back is written only while its hold stands (S1, R25). */
  #checkHolds(entry: Entry): void {
    const request = requestOf(entry)
    const [session = '', slot] = request?.split('/') ?? []
    for (const ino of inosIn(entry.body)) {
      const object = objectOf(ino)
      const hold = this.#holds.get(object)
      const isFlush = Number(slot) >= flushSlots && Number(slot) < releaseSlots
      if (request === undefined || (hold === undefined ? !isFlush : hold.session === session)) continue
      const what = `${request} changes ${object}, held by ${hold?.session ?? 'nobody'}, in ${entry.epoch}:${entry.seq}`
      throw new Violation('holds', 'S1, R25', what)
    }
    this.#followHolds(entry)
  }

  #followHolds(entry: Entry): void {
    for (const { object, hold } of holdChanges(entry.body)) {
      const before = this.#holds.get(object)
      if (hold !== undefined) this.#holds.set(object, hold)
      else this.#holds.delete(object)
      if (hold === undefined && before !== undefined && requestOf(entry) === undefined)
        this.#fenced.add(holdName(object, before))
    }
  }

  get fences(): number {
    return this.#fenced.size
  }

  /** A client was refused what it had answered: only where its hold had been taken away, or all had lost power. */
  heldInVain(client: string, object: string, hold: Hold): void {
    if (this.losses.length > 0 || this.#fenced.has(holdName(object, hold))) return
    throw new Violation('holds', 'S2', `${client} lost what it held back of ${object}, though nobody had fenced it`)
  }

  /** A client answers a write by itself: until its hold is given back, or taken away, and no longer (S2). */
  heldBack(client: string, object: string, hold: Hold): void {
    const found = this.#holds.get(object)
    if (found !== undefined && holdName(object, found) === holdName(object, hold)) return
    const what = `${client} writes to ${object} by itself under ${hold.number}, held by ${found?.session ?? 'nobody'}`
    throw new Violation('holds', 'S2', what)
  }

  watch(clients: readonly Keeper[]): void {
    this.#clients = clients
  }

  /** Nobody answers from what an entry has changed, once the entry can be seen anywhere (R21). */
  #checkCaches(node: NodeId, entry: Entry): void {
    for (const ino of inosIn(entry.body)) {
      for (const client of this.#clients) {
        const kept = client.kept(objectOf(ino))
        if (kept === undefined || kept.at.seq >= entry.seq) continue
        throw new Violation(
          'caches',
          'R21',
          `${node} commits ${entry.epoch}:${entry.seq}, and ${client.name} still keeps ${objectOf(ino)} as of ${kept.at.seq}`,
        )
      }
    }
  }

  /** A client answered by itself. */
  answeredFromCache(client: string, op: Op, at: Seq): void {
    const { keys, blob } = touchedBy(op.object)
    for (let seq = at + 1; seq <= this.#known; seq++) {
      const entry = this.#log[seq - 1]
      if (entry === undefined || !touches(entry, keys, blob)) continue
      const what = `${client} answers ${op.object} by itself as of ${at}, though entry ${seq} was acknowledged before`
      throw new Violation('caches', 'R21 to R23', what)
    }
  }

  /** `last`: the process that ran there, or had run last. */
  hostLostPower(node: NodeId, last: Incarnation): void {
    this.#torn.set(node, last)
    this.#noteLoss(this.#view.record())
  }

  /** The record changed: who has just come into the set has everything, if it did not lose power on its way in. */
  recordChanged(before: VolumeRecord, after: VolumeRecord): void {
    if (after.changedBy.startsWith('operator/') && this.#hasWhole(before) && !this.#hasWhole(after))
      throw new Violation('operator', 'R12', 'a change by hand leaves nobody who has everything')
    this.#noteLoss(after)
    for (const node of after.inSync) {
      if (!before.inSync.includes(node) && after.incarnations[node] !== this.#torn.get(node)) this.#torn.delete(node)
    }
  }

  #noteLoss(record: VolumeRecord): void {
    if (!this.#hasWhole(record)) this.#lostIn = record.epoch
  }

  /** It has lost nothing since it last had everything, and is not being brought over. */
  isWhole(node: NodeId): boolean {
    return !this.#torn.has(node) && this.#view.disks.get(node)?.os.mark === undefined
  }

  /** Among those who may lead. */
  #hasWhole(record: VolumeRecord): boolean {
    return [...record.inSync, ...record.eligible].some((node) => this.isWhole(node))
  }

  /** A client has the answer to its change. */
  acknowledged(request: RequestId): void {
    const seq = this.seqOf(request)
    if (seq === undefined) {
      throw new Violation('acknowledged', 'R3, R4', `request ${requestName(request)} was answered and is not committed`)
    }
    if (seq > this.#known) this.#known = seq
  }

  seqOf(request: RequestId): Seq | undefined {
    return this.#requests.get(requestName(request))
  }

  /** A server says that everything up to here is on every in-sync disk. */
  flushed(upTo: Seq): void {
    for (const [node, disk] of this.#members(this.#view.record().inSync)) {
      if (this.#torn.has(node) || disk.durable.last.seq >= upTo) continue
      throw new Violation(
        'flushed',
        'R7',
        `a flush up to ${upTo} was answered; ${node} has flushed up to ${disk.durable.last.seq}`,
      )
    }
    if (upTo > this.#flushed) this.#flushed = Math.min(upTo, this.#log.length) as Seq
  }

  /** A member answered a read, first asked for when `knownThen` was what clients knew, from its state as of `at`. */
  readAnswered(node: NodeId, op: Op, at: Seq, knownThen: Known): void {
    if (at > this.#log.length)
      throw new Violation('reads', 'R3', `${node} read state ${at}, which nobody has committed`)
    const { keys, blob } = touchedBy(op.object)
    const kept = this.losses.slice(knownThen.losses).map((loss) => loss.kept)
    const known = Math.min(knownThen.seq, ...kept)
    for (let seq = at + 1; seq <= known; seq++) {
      const entry = this.#log[seq - 1]
      if (entry === undefined || !touches(entry, keys, blob)) continue
      throw new Violation(
        'reads',
        'R13, R18',
        `${node} read ${op.object} as of ${at}, though entry ${seq} was acknowledged before`,
      )
    }
  }

  #checkFirstCommit(node: NodeId, entry: Entry): void {
    const record = this.#view.record()
    const before = this.#log.at(-1)
    const at = `entry ${entry.epoch}:${entry.seq}, committed by ${node}`
    if (entry.seq !== this.#log.length + 1) throw new Violation('log', 'R1', `${at}, after ${this.#log.length}: a hole`)
    if (before !== undefined && before.epoch > entry.epoch)
      throw new Violation('log', 'R5', `${at}, after one of ${before.epoch}`)
    if (entry.chain !== nextChain(before?.chain ?? 0, entry.epoch, checkBody(entry.body))) {
      throw new Violation('log', 'R39', `${at}, does not continue the history before it`)
    }
    let copies = 0
    for (const [other, disk] of this.#view.disks) if (this.#torn.has(other) || has(disk, entry)) copies += 1
    for (const [other, disk] of this.#members(record.inSync)) {
      if (this.#torn.has(other) || has(disk, entry)) continue
      throw new Violation('nesting', 'R2, R4', `${at}, is not in the journal of ${other}, which is in the set`)
    }
    // Who commits may not know yet that more are wanted now.
    const wanted = Math.min(record.minInSync, this.#view.recordSeenBy(node)?.minInSync ?? record.minInSync)
    if (copies < wanted) throw new Violation('nesting', 'R11', `${at}, exists ${copies} times only`)
  }

  #lose(node: NodeId, entry: Entry): void {
    const what = `${node} committed ${entry.epoch}:${entry.seq} in the place of ${this.#log[entry.seq - 1]?.epoch}:${entry.seq}`
    if (this.#lostIn === undefined)
      throw new Violation('lost', 'R1, R12', `${what}, though not everybody had lost something`)
    const kept = (entry.seq - 1) as Seq
    if (kept < this.#flushed)
      throw new Violation('flushed', 'R12', `${what}; everything up to ${this.#flushed} was flushed`)
    this.losses.push({ at: this.#view.now(), kept, log: this.#log })
    this.#log = this.#log.slice(0, kept)
    this.#holds = new Map()
    for (const left of this.#log) this.#followHolds(left)
    this.#requests = new Map([...this.#requests].filter(([, seq]) => seq <= kept))
    this.#known = Math.min(this.#known, kept) as Seq
  }

  *#members(nodes: readonly NodeId[]): Generator<readonly [NodeId, Disk]> {
    for (const node of nodes) {
      const disk = this.#view.disks.get(node)
      if (disk !== undefined) yield [node, disk]
    }
  }
}

const holdChanges = ofBody(holdsIn)

const holdName = (object: string, { session, number }: Hold): string => `${object} ${session} ${number}`

function has(disk: Disk, entry: Entry): boolean {
  const { os } = disk
  if (entry.seq <= os.base.seq) return os.mark === undefined || entry.seq <= os.applied
  const own = os.entry(entry.seq)
  return own !== undefined && own.epoch === entry.epoch && own.chain === entry.chain
}

function touches(entry: Entry, keys: readonly Key[], blob: bigint | undefined): boolean {
  return decodeBody(entry.body).some((effect) => {
    const touch = touchOf(effect)
    return 'key' in touch ? keys.includes(touch.key) : touch.range.blob === blob
  })
}

/** The request whose reply an entry stores. */
export const requestOf = ({ body }: Pick<Entry, 'body'>): string | undefined => requestIn(body)
const requestIn = ofBody((effects) => {
  for (const effect of effects) {
    if (effect.kind !== 'put' || !/^s\/[^/]+\/\d+$/.test(effect.key)) continue
    return `${effect.key.slice(2)}/${decodeReply(untext(effect.value)).seq}`
  }
  return undefined
})
