import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { Level } from 'level'
import t from 'tap'
import { Cluster, type Test } from '../fixtures/cluster.ts'
import { mustRun } from '../fixtures/run.ts'
import { text } from '../fixtures/sources.ts'
import { expect, waitFor } from '../fixtures/wait.ts'

// What a disk or a person's hand does to one mirror is found by comparing, and mended from the others.

t.setTimeout(300_000)

const marker = 'a line that stands nowhere else'
const bigFile = 'damaged.bin'
const cluster = await Cluster.start(t)
await mustRun('sh', ['-c', 'cat > "$0"', join(cluster.tree, bigFile)], { input: `${marker}\n${text(1, 300_000)}` })
await mustRun('sh', [
  '-c',
  'mkdir -p "$0/folder" && cd "$0/folder" && for i in $(seq 50); do echo $i > name-$i; done',
  cluster.tree,
])

/** Files of one store that hold the contents of the big file: found by what is in them. */
function blobFiles(store: string): string[] {
  const size = marker.length + 1 + 300_000
  return readdirSync(store, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .filter((entry) => entry.parentPath.includes('/blobs/')) // journal and staging may hold the same bytes
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(
      (path) => statSync(path).size === size && readFileSync(path).subarray(0, marker.length).toString() === marker,
    )
}

function flipByte(path: string, at: number): void {
  const file = openSync(path, 'r+')
  const byte = Buffer.alloc(1)
  readSync(file, byte, 0, 1, at)
  writeSync(file, Buffer.from([(byte[0] ?? 0) ^ 0x10]), 0, 1, at)
  closeSync(file)
}

/** Removes the directory entry `name` from a stopped server's level: the name stands in the value (docs/store-format.md). */
async function removeName(store: string, name: string): Promise<void> {
  const folders = readdirSync(store, { recursive: true, withFileTypes: true })
  const current = expect(
    folders.find((entry) => entry.name === 'CURRENT'),
    `${store} has no level`,
  )
  const level = new Level<Buffer, Buffer>(current.parentPath, { keyEncoding: 'buffer', valueEncoding: 'buffer' })
  const entries = await level.iterator().all()
  const found = entries.find(([key, value]) => key.toString('latin1').startsWith('d') && value.includes(name))
  await level.del(expect(found, `no entry names ${name}`)[0])
  await level.close()
}

async function damaged(): Promise<{ readonly code: number | undefined; readonly said: string }> {
  const { code, stdout, stderr } = await cluster.banyan(['verify'], { limitMs: 120_000 })
  return { code, said: stdout + stderr }
}

async function mend(t: Test & { pass(what: string): unknown }): Promise<void> {
  const repaired = await cluster.banyan(['verify', '--repair'], { limitMs: 120_000 })
  t.comment(`verify --repair: ${repaired.stdout.trim().split('\n').slice(-3).join(' / ')}`)
  await cluster.inSync()
  await cluster.verifyEqual()
  t.pass('verify finds all equal again')
}

void t.test('a byte flipped in a running mirror', async (t) => {
  const victim = (await cluster.others())[0] ?? ''
  const [blob, ...more] = blobFiles(join(cluster.state, victim))
  t.same(more, [], 'one file holds the contents')
  flipByte(expect(blob, 'no file holds the contents'), 150_000)
  const { code, said } = await damaged()
  t.equal(code, 1, 'verify finds it')
  t.match(said, bigFile, 'and names the file')
  t.match(said, victim, 'and the member')
  await mend(t)
})

void t.test('a byte flipped in the primary, and in a stopped mirror', async (t) => {
  const primary = await cluster.primary()
  const mirror = (await cluster.others())[1] ?? ''
  await cluster.stopServer(mirror)
  await cluster.waitForState(mirror, 'down')
  flipByte(expect(blobFiles(join(cluster.state, mirror))[0], 'no file holds the contents'), 10)
  await cluster.startServer(mirror)
  await cluster.inSync()
  flipByte(expect(blobFiles(join(cluster.state, primary))[0], 'no file holds the contents'), 299_000)
  const { code, said } = await damaged()
  t.equal(code, 1, 'verify finds them')
  t.match(said, primary, 'the primary is named')
  t.match(said, mirror, 'the mirror is named')
  await mend(t)
  const contents = await mustRun('cat', [join(cluster.tree, bigFile)])
  t.equal(contents.stdout, `${marker}\n${text(1, 300_000)}`, 'the file is as it was written')
})

void t.test('a byte flipped in the primary, while nobody else is in sync', async (t) => {
  const primary = await cluster.primary()
  const [mirror = '', away = ''] = await cluster.others()
  await cluster.stopServer(away)
  await cluster.waitForState(away, 'down')
  flipByte(expect(blobFiles(join(cluster.state, primary))[0], 'no file holds the contents'), 200_000)
  const { code, stderr } = await cluster.banyan(['resync', '--full', '--member', mirror], { limitMs: 60_000 })
  t.equal(code, 0, `the mirror keeps what is whole there, and is in sync again: ${stderr}`)
  await cluster.startServer(away)
  await cluster.inSync()
  const { said } = await damaged()
  const differing = said.split('\n').filter((line) => line.includes('differs on'))
  t.match(differing, [`differs on ${primary}`], 'the primary is named, and only once')
  await mend(t)
  t.ok((await mustRun('cat', [join(cluster.tree, bigFile)])).stdout === `${marker}\n${text(1, 300_000)}`, 'as written')
})

void t.test('a byte flipped in the primary, and in the only other copy', async (t) => {
  const primary = await cluster.primary()
  const [mirror = '', away = ''] = await cluster.others()
  await cluster.stopServer(away)
  await cluster.waitForState(away, 'down')
  for (const [name, at] of [
    [primary, 10],
    [mirror, 20],
  ] as const) {
    flipByte(expect(blobFiles(join(cluster.state, name))[0], 'no file holds the contents'), at)
  }
  const resynced = cluster.banyan(['resync', '--full', '--member', mirror], { limitMs: 60_000 })
  await waitFor(
    () => readFileSync(join(cluster.state, 'log', `${primary}.log`), 'utf8').includes('slice.damaged') || undefined,
    { what: 'the primary to find that neither copy is whole', limitMs: 20_000 },
  )
  t.match((await damaged()).said, bigFile, 'verify names the file')
  await mustRun('rm', [join(cluster.tree, bigFile)])
  const { code, stderr } = await resynced
  t.equal(code, 0, `the mirror goes on when the file is removed: ${stderr}`)
  await cluster.startServer(away)
  await cluster.inSync()
  await cluster.verifyEqual()
})

void t.test("a key removed from a stopped mirror's store", async (t) => {
  const victim = (await cluster.others())[1] ?? ''
  await cluster.stopServer(victim)
  await cluster.waitForState(victim, 'down')
  await removeName(join(cluster.state, victim), 'name-17')
  await cluster.startServer(victim)
  await cluster.inSync()
  const { code, said } = await damaged()
  t.equal(code, 1, 'verify finds it')
  t.match(said, 'name-17', 'and names the file')
  t.match(said, victim, 'and the member')
  await mend(t)
  const pinned = await cluster.mount('pinned', { provider: victim })
  t.equal((await mustRun('cat', [join(pinned, 'folder/name-17')])).stdout, '17\n', 'the name is back on that mirror')
})
