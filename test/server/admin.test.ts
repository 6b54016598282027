import { closeSync, openSync, readdirSync, readSync, statSync, writeSync } from 'node:fs'
import path from 'node:path'
import { type ClientReadableStream, credentials, type ServiceError, status } from '@grpc/grpc-js'
import t from 'tap'
import {
  AdminServiceClient,
  type ResyncProgress,
  type VerifyEvent,
  type VerifyFinding,
  type VerifySummary,
} from '../../proto/generated/admin-service.ts'
import { Cluster } from './cluster.ts'
import { Files } from './files.ts'

/** Asks whoever leads, again while another has come to lead. */
async function atPrimary<Event>(
  cluster: Cluster,
  ask: (client: AdminServiceClient) => ClientReadableStream<Event>,
): Promise<Event[]> {
  for (;;) {
    const client = new AdminServiceClient(cluster.address(await cluster.primary()), credentials.createInsecure())
    const events: Event[] = []
    try {
      for await (const event of ask(client)) events.push(event as Event)
      return events
    } catch (error) {
      if ((error as ServiceError).code !== status.FAILED_PRECONDITION) throw error
      await new Promise((resolve) => setImmediate(resolve))
    } finally {
      client.close()
    }
  }
}

async function verify(
  cluster: Cluster,
  repair: boolean,
): Promise<{ readonly findings: readonly VerifyFinding[]; readonly summary: VerifySummary | undefined }> {
  const findings: VerifyFinding[] = []
  let summary: VerifySummary | undefined
  for (const { kind } of await atPrimary<VerifyEvent>(cluster, (client) => client.verify({ repair }))) {
    if (kind?.$case === 'finding') findings.push(kind.value)
    if (kind?.$case === 'summary') summary = kind.value
  }
  return { findings, summary }
}

function resync(cluster: Cluster, member: string, full: boolean): Promise<ResyncProgress[]> {
  return atPrimary(cluster, (client) => client.resync({ member, full }))
}

/** Turns one byte in the largest file under a member's blobs. */
function flipByte(cluster: Cluster, name: string): void {
  const folder = path.join(cluster.folder, name, 'blobs')
  const [file] = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .toSorted((a, b) => statSync(b).size - statSync(a).size)
  if (file === undefined) throw new Error(`${name} has no blobs`)
  const fd = openSync(file, 'r+')
  const byte = Buffer.alloc(1)
  readSync(fd, byte, 0, 1, 100_000)
  byte[0] = (byte[0] ?? 0) ^ 1
  writeSync(fd, byte, 0, 1, 100_000)
  closeSync(fd)
}

for (const whose of ['a mirror', 'the primary']) {
  void t.test(`a flipped byte at ${whose} is found, named and mended`, async (t) => {
    const cluster = await Cluster.start(['s1', 's2', 's3'])
    t.teardown(() => cluster.close())
    await cluster.inSync(3)
    const files = new Files(cluster.router())
    const ino = await files.create('precious')
    const data = Buffer.alloc(400_000, 'p')
    await files.write(ino, data)
    await files.fsync(ino)
    const clean = await verify(cluster, false)
    t.same(clean.findings, [])
    t.same(clean.summary?.members.toSorted(), ['s1', 's2', 's3'])
    const primary = await cluster.primary()
    const victim = whose === 'a mirror' ? (['s1', 's2', 's3'].find((name) => name !== primary) ?? '') : primary
    flipByte(cluster, victim)
    const { findings } = await verify(cluster, false)
    t.equal(findings.length, 1)
    t.match(findings[0], { path: '/precious', ino, members: [victim], what: 'data', outcome: 'repairable' })
    const mended = await verify(cluster, true)
    t.match(mended.findings[0], { path: '/precious', members: [victim], outcome: 'repaired' })
    t.same((await verify(cluster, false)).findings, [])
    t.same(await files.read(ino, 1_000_000), data)
    t.same(cluster.fatal, [])
  })
}

void t.test('a full resync ends with all members in sync', async (t) => {
  const cluster = await Cluster.start(['s1', 's2', 's3'])
  t.teardown(() => cluster.close())
  await cluster.inSync(3)
  const files = new Files(cluster.router())
  await files.write(await files.create('a'), Buffer.alloc(3_000_000, 'a'))
  const primary = await cluster.primary()
  const mirror = ['s1', 's2', 's3'].find((name) => name !== primary) ?? ''
  const events = await resync(cluster, mirror, true)
  t.match(events.at(-1), { done: true, members: [{ name: mirror, state: 'in-sync' }] })
  await cluster.inSync(3)
  t.same((await verify(cluster, false)).findings, [])
})
