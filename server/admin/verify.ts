import type { VerifyEvent, VerifyFinding } from '../../proto/generated/admin-service.ts'
import { type Key, type NodeId, type Seq, seq } from '../../proto/ids.ts'
import type { VerifyAnswer } from '../../replication/ports.ts'
import type { WorkItem } from '../../replication/work.ts'
import type { View } from '../filesystem/view.ts'
import { parseKey } from '../store/keys.ts'
import { decodeDentries } from '../store/records.ts'
import { intact } from '../store/seal.ts'
import { blockBytes } from '../store/sums.ts'
import type { Volume } from '../volume.ts'
import { allItems, bytesToCompare, type Item } from './items.ts'
import { allEqual, type Difference, differences } from './judge.ts'
import { pathsOf } from './paths.ts'
import { NotPrimary } from './refusals.ts'
import { mustLead, turn, whenBack } from './resync.ts'

type Event = NonNullable<VerifyEvent['kind']>
type Compared = Extract<VerifyAnswer, { outcome: 'digests' }>

/** One difference, with where it was found and what would mend it. */
interface Found extends Difference {
  readonly ino: bigint
  readonly what: 'metadata' | 'data'
  readonly words: string
  readonly work: WorkItem
}

/** More than an operator reads; the rest is only counted. */
const findingsMax = 10_000
const progressEvery = 20
/** Each member reads a slice for each of them. */
const underWayMax = 4
/** A comparison whose answer was lost is made again; more often means that the primary is on its way out. */
const attemptsMax = 5

/**
 * Compares all in-sync members, item after item, each at one position (S15); names what differs; with `repair`, has it
 * fetched from those who are right. @throws NotPrimary, also after handing over because the primary itself is wrong
 */
export async function* verify(volume: Volume, { repair }: { readonly repair: boolean }): AsyncGenerator<Event, void> {
  mustLead(volume)
  const bytesTotal = BigInt(await bytesToCompare(volume.store))
  const found: Found[] = []
  const members = new Set<NodeId>()
  const positions: Seq[] = []
  let items = 0
  let bytes = 0
  for await (const { one, answer } of comparisons(volume)) {
    if (!allEqual(answer.digests))
      found.push(...(await lookCloser(volume, one.item)).slice(0, findingsMax - found.length))
    for (const node of answer.digests.keys()) members.add(node)
    positions.push(answer.at)
    if (positions.length > 2) positions.splice(1, 1)
    items++
    bytes += one.bytes
    if (items % progressEvery === 1) {
      yield { $case: 'progress', value: { itemsDone: BigInt(items), bytesDone: BigInt(bytes), bytesTotal } }
    }
  }
  const mended = repair ? await mend(volume, found) : new Set<Found>()
  for (const finding of await described(volume, found, mended)) yield { $case: 'finding', value: finding }
  yield {
    $case: 'summary',
    value: {
      items: BigInt(items),
      findings: BigInt(found.length),
      repaired: BigInt(mended.size),
      members: [...members],
      fromPosition: BigInt(positions[0] ?? seq(0)),
      toPosition: BigInt(positions.at(-1) ?? seq(0)),
    },
  }
}

interface Comparison {
  readonly one: Item
  readonly answer: Compared
}

/** Of everything, in order, several under way at once: most of each is waiting for messages. */
async function* comparisons(volume: Volume): AsyncGenerator<Comparison> {
  const underWay: Promise<Comparison>[] = []
  for await (const one of allItems(volume.store)) {
    const comparison = compare(volume, one.item, false).then((answer) => ({ one, answer }))
    comparison.catch(() => {}) // whoever awaits it hears of it; nobody may, if one before it fails
    underWay.push(comparison)
    if (underWay.length < underWayMax) continue
    const first = underWay.shift()
    if (first !== undefined) yield await first
  }
  for (const rest of underWay) yield await rest
}

async function compare(volume: Volume, item: WorkItem, detail: boolean): Promise<Compared> {
  for (let attempt = 1; ; attempt++) {
    mustLead(volume)
    const answer = await volume.verifications.ask((ticket) => volume.replica.verify(ticket, item, { detail }))
    if (answer.outcome === 'digests') return answer
    if (attempt === attemptsMax) throw new NotPrimary(volume.replica.primary())
    await turn()
  }
}

async function lookCloser(volume: Volume, item: WorkItem): Promise<readonly Found[]> {
  const { digests } = await compare(volume, item, true)
  return differences(digests).map((difference) => found(volume.store.committed, item, difference))
}

/** Parts are named by the store: keys, `blob:offset` of a block, `blob size`, or a blob in a list of blobs. */
function found(view: View, item: WorkItem, difference: Difference): Found {
  const { part } = difference
  switch (item.kind) {
    case 'keys':
    case 'keyRange':
      return { ...difference, ...keyPart(view, part as Key) }
    case 'range': {
      const offset = /:(\d+)$/.exec(part)?.[1]
      const common = { ...difference, ino: item.blob, what: 'data' } as const
      if (offset === undefined) return { ...common, words: 'length of the contents', work: item }
      const work = { kind: 'range', blob: item.blob, offset: Number(offset), length: blockBytes } as const
      return { ...common, words: `block at ${offset}`, work }
    }
    case 'blobRange': {
      const blob = BigInt(part)
      const work = { kind: 'blobRange', from: blob, to: blob + 1n } as const
      return { ...difference, ino: blob, what: 'data', words: 'existence or length of the contents', work }
    }
  }
}

function keyPart(view: View, key: Key): Pick<Found, 'ino' | 'what' | 'words' | 'work'> {
  const work = { kind: 'keys', keys: [key] } as const
  const parsed = parseKey(key)
  if (parsed === undefined) {
    return { ino: 0n, what: 'metadata', words: `unknown key ${Buffer.from(key, 'latin1').toString('hex')}`, work }
  }
  const words = { dentries: nameIn(view.get(key)), contents: 'inline contents', session: 'a session', reply: 'a reply' }
  const { kind } = parsed
  const ino = 'ino' in parsed ? parsed.ino : 'parent' in parsed ? parsed.parent : 0n
  return {
    ino,
    what: kind === 'contents' ? 'data' : 'metadata',
    words: words[kind as keyof typeof words] ?? kind,
    work,
  }
}

/** Which name of a directory it is, as far as this member's own copy says. */
function nameIn(value: Uint8Array | undefined): string {
  if (value === undefined || !intact(value)) return 'a name in it'
  const names = decodeDentries(value).map(({ name }) => JSON.stringify(Buffer.from(name).toString()))
  return `the name ${names.join(', ')} in it`
}

/** Has wrong mirrors fetch what is wrong, one mirror after the other, and compares again. */
async function mend(volume: Volume, all: readonly Found[]): Promise<ReadonlySet<Found>> {
  const decided = all.filter((one) => one.decided)
  if (decided.some(({ members }) => members.includes(volume.node))) await handOver(volume, decided)
  for (const node of new Set(decided.flatMap(({ members }) => members))) {
    const work = decided.filter(({ members }) => members.includes(node)).map((one) => one.work)
    const back = whenBack(volume, node)
    volume.step(() => volume.replica.repair(node, work))
    while (!back()) {
      await turn()
      mustLead(volume)
    }
  }
  const mended = new Set<Found>()
  for (const one of decided) {
    const { digests } = await compare(volume, one.work, false)
    if (allEqual(digests)) mended.add(one)
  }
  return mended
}

/** What the primary has is what the others are given: a wrong one must not be it. */
async function handOver(volume: Volume, decided: readonly Found[]): Promise<never> {
  const wrong = new Set(decided.flatMap(({ members }) => members))
  const { members } = volume.replica.status()
  const inSync = members.filter(({ node, state }) => node !== volume.node && state === 'in-sync')
  const heir = inSync.find(({ node }) => !wrong.has(node)) ?? inSync[0]
  if (heir !== undefined) {
    volume.log('primary.damaged', { handOverTo: heir.node })
    volume.step(() => volume.replica.handOver(heir.node))
  }
  throw new NotPrimary(heir?.node, 'this primary is wrong itself and hands over')
}

async function described(
  volume: Volume,
  all: readonly Found[],
  mended: ReadonlySet<Found>,
): Promise<readonly VerifyFinding[]> {
  const paths = await pathsOf(volume.store, new Set(all.map(({ ino }) => ino)))
  return all.map((one) => ({
    path: paths.get(one.ino) ?? '',
    ino: one.ino,
    members: [...one.members],
    what: one.what,
    detail: one.words,
    outcome: mended.has(one) ? 'repaired' : one.decided ? 'repairable' : 'undecided',
  }))
}
