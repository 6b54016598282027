import t from 'tap'
import { errnos } from '../../proto/errno.ts'
import type { Attributes, Response } from '../../proto/generated/file-service.ts'
import { setattr } from '../fixtures/calls.ts'
import { waitFor } from '../fixtures/wait.ts'
import { Cluster } from './cluster.ts'
import { ScriptedClient } from './scripted-client.ts'
import { statusOf } from './status-of.ts'

const root = 1n
const lookup = (name: string) => ({ $case: 'lookup', value: { parent: root, name: Buffer.from(name) } }) as const
const getattr = (ino: bigint) => ({ $case: 'getattr', value: { ino } }) as const
const create = (name: string) =>
  ({ $case: 'create', value: { parent: root, name: Buffer.from(name), mode: 0o644, umask: 0, flags: 2 } }) as const
const chmod = (ino: bigint, mode: number) => setattr(ino, { mode })

function inoOf({ reply }: Response): bigint {
  const attributes = reply?.kind?.$case === 'entry' ? reply.kind.value.attributes : undefined
  if (attributes === undefined) throw new Error('no entry')
  return attributes.ino
}

function attributesOf({ reply }: Response): Attributes {
  if (reply?.kind?.$case !== 'attributes') throw new Error('no attributes')
  return reply.kind.value
}

const modeOf = (response: Response): number => attributesOf(response).mode & 0o777

interface Scene {
  readonly cluster: Cluster
  /** Of the primary, and of its two mirrors. */
  readonly addresses: readonly [string, string, string]
  readonly clients: ScriptedClient[]
  client(address: string): Promise<ScriptedClient>
}

/** One cluster for all tests here: each makes files of its own. */
async function setUp(): Promise<Scene> {
  const cluster = await Cluster.start(['s1', 's2', 's3'])
  await cluster.inSync(3)
  const primary = await cluster.primary()
  const [one = '', other = ''] = ['s1', 's2', 's3'].filter((name) => name !== primary)
  const addresses = [cluster.address(primary), cluster.address(one), cluster.address(other)] as const
  for (const address of addresses) {
    const what = 'everybody to serve'
    await waitFor(async () => (await statusOf(address)).serving || undefined, { what, limitMs: 10_000, everyMs: 10 })
  }
  const clients: ScriptedClient[] = []
  return {
    cluster,
    addresses,
    clients,
    client: async (address) => {
      const client = new ScriptedClient()
      clients.push(client)
      await client.attachWithLeases(address)
      return client
    },
  }
}

const scene = await setUp()
const [primary, mirror, other] = scene.addresses
t.teardown(async () => {
  for (const client of scene.clients) client.close()
  await scene.cluster.close()
})
t.afterEach(() => {
  for (const client of scene.clients) client.obey() // nobody waits for a client of another test
})

for (const [where, address] of [
  ['a mirror', mirror],
  ['the primary', primary],
] as const) {
  void t.test(`what a client of ${where} keeps is changed when it has let go`, async (t) => {
    const keeper = await scene.client(address)
    const writer = await scene.client(other)
    const name = `kept at ${where}`
    const ino = inoOf(await writer.ask(create(name), [root]))
    const found = await keeper.ask(lookup(name))
    t.same(found.leased, [root, ino], 'parent and child are leased')
    const change = writer.begin(chmod(ino, 0o600), { invalidated: [ino] })
    const recall = await keeper.recall()
    t.same(recall.inos, [ino])
    t.ok(recall.position > 0n && !recall.everything)
    const meanwhile = await keeper.ask(getattr(ino))
    t.same([modeOf(meanwhile), meanwhile.leased], [0o644, []], 'the state before, and nothing to keep')
    t.notOk(writer.isAnswered(change), 'the change waits')
    keeper.recalled(recall)
    t.equal((await writer.answer(change)).errno, 0)
    const after = await keeper.ask(getattr(ino))
    t.same([modeOf(after), after.leased], [0o600, [ino]])
    t.same(writer.recalls, [], 'who has said that it has forgotten is not asked')
  })
}

void t.test('who asks for a change is asked for what it has not forgotten by itself', async (t) => {
  const client = await scene.client(mirror)
  const made = await client.ask(create('own'), [root])
  const ino = inoOf(made)
  t.same(made.leased, [root, ino], 'what was made just now is leased')
  const change = client.begin(chmod(ino, 0o600), { invalidated: [] })
  const recall = await client.recall()
  t.same(recall.inos, [ino])
  client.recalled(recall)
  t.equal((await client.answer(change)).errno, 0)
  t.same(client.recalls, [])
})

void t.test('that there is no such name is kept until there is one', async (t) => {
  const keeper = await scene.client(mirror)
  const absent = await keeper.ask(lookup('soon'))
  t.same([absent.errno, absent.leased], [errnos.ENOENT, [root]])
  const writer = await scene.client(primary)
  const change = writer.begin(create('soon'), { invalidated: [root] })
  const recall = await keeper.recall()
  t.same(recall.inos, [root])
  keeper.recalled(recall)
  await writer.answer(change)
})

void t.test('reads that are noted move access times on every member, and nobody is asked for anything', async (t) => {
  const keeper = await scene.client(mirror)
  const writer = await scene.client(primary)
  const ino = inoOf(await writer.ask(create('read'), [root]))
  const before = await keeper.ask(getattr(ino))
  t.same(before.leased, [ino])
  const { atimeNs, ctimeNs } = attributesOf(before)
  const read = { ino, atNs: ctimeNs + 1n, wasNs: atimeNs }
  const noted = await writer.ask({ $case: 'noteReads', value: { reads: [read] } })
  t.same([noted.errno, noted.leased], [0, []])
  const after = await keeper.ask(getattr(ino))
  t.equal(attributesOf(after).atimeNs, read.atNs)
  t.equal(attributesOf(after).ctimeNs, ctimeNs)
  t.same([...keeper.recalls, ...writer.recalls], [])
})

void t.test('a listing with attributes is of the directory and of what is in it', async (t) => {
  const client = await scene.client(mirror)
  const ino = inoOf(await client.ask(lookup('own')))
  const value = { ino: root, cookie: 0n, count: 1000, attributes: true }
  const { leased } = await client.ask({ $case: 'readdir', value })
  t.ok(leased.includes(root) && leased.includes(ino))
})

void t.test('who does not answer is waited for until its leases end, and gets none for a while', async (t) => {
  const silent = await scene.client(mirror)
  const writer = await scene.client(primary)
  const ino = inoOf(await writer.ask(create('stubborn'), [root]))
  t.same((await silent.ask(getattr(ino))).leased, [ino])
  const { leaseMs } = await silent.beat()
  t.ok(leaseMs > 500 && leaseMs < 1500, `leases of ${leaseMs} ms`)
  const before = performance.now()
  await writer.ask(chmod(ino, 0o600), [ino])
  const took = performance.now() - before
  t.ok(took > leaseMs * 0.8 && took < 5000, `the change waited ${took.toFixed(0)} ms`)
  await silent.recall()
  const last = await silent.recall()
  t.ok(last.everything, 'all of it is over')
  silent.recalled(last)
  t.equal((await silent.beat()).leaseMs, 0)
  t.same((await silent.ask(getattr(ino))).leased, [])
  const status = await statusOf(mirror)
  t.equal(status.leases?.ranOut, 1n)
})

void t.test('who has come to another provider is not waited for', async (t) => {
  const moving = await scene.client(mirror)
  const writer = await scene.client(primary)
  const ino = inoOf(await writer.ask(create('left behind'), [root]))
  t.same((await moving.ask(getattr(ino))).leased, [ino])
  await moving.beat()
  const change = writer.begin(chmod(ino, 0o600), { invalidated: [ino] })
  await moving.recall()
  const before = performance.now()
  await moving.attach(other)
  t.equal((await writer.answer(change)).errno, 0)
  const took = performance.now() - before
  t.ok(took < 700, `it waited ${took.toFixed(0)} ms for a client that is elsewhere`)
})

void t.test('what a client gives up by itself it is not asked for', async (t) => {
  const client = await scene.client(mirror)
  const writer = await scene.client(primary)
  const ino = inoOf(await writer.ask(create('dropped'), [root]))
  t.same((await client.ask(getattr(ino))).leased, [ino])
  await client.beat([ino])
  await writer.ask(chmod(ino, 0o600), [ino])
  t.same(client.recalls, [])
})

void t.test('a driver that takes no recalls is given no leases, and asked for nothing', async (t) => {
  const old = new ScriptedClient({ leases: false })
  scene.clients.push(old)
  await old.attach(mirror)
  const writer = await scene.client(primary)
  const ino = inoOf(await writer.ask(create('plain'), [root]))
  t.equal((await old.beat()).leaseMs, 0)
  t.same((await old.ask(getattr(ino))).leased, [])
  await writer.ask(chmod(ino, 0o600), [ino])
  t.same(old.recalls, [])
})

void t.test('frames and leases of a stream are counted', async (t) => {
  const client = await scene.client(mirror)
  await client.ask(getattr(root))
  const mine = async () => (await statusOf(mirror)).sessions.find(({ session }) => session === client.session)
  const before = await mine()
  await client.beat()
  await client.ask(getattr(root))
  const after = await mine()
  if (before === undefined || after === undefined) throw new Error('the session is not shown')
  t.equal(after.requests - before.requests, 1n)
  t.ok(after.heartbeats > before.heartbeats)
  t.equal(after.leases, 1n)
})

void t.test('a stream that ends keeps its leases until their time', async (t) => {
  const client = await scene.client(mirror)
  const writer = await scene.client(primary)
  const ino = inoOf(await writer.ask(create('orphaned'), [root]))
  t.same((await client.ask(getattr(ino))).leased, [ino])
  const beganMs = performance.now()
  const { leaseMs } = await client.beat()
  client.close()
  await writer.ask(chmod(ino, 0o600), [ino])
  const tookMs = performance.now() - beganMs
  t.ok(tookMs >= leaseMs && tookMs < leaseMs + 5000, `the change waited ${tookMs.toFixed(0)} ms of ${leaseMs}`)
})

void t.test('no server has failed', async (t) => {
  t.same(scene.cluster.fatal, [])
})
