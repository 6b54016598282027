import { join } from 'node:path'
import t from 'tap'
import { Prober } from '../fixtures/prober.ts'
import { seed } from '../fixtures/random.ts'
import { twoMounts } from '../fixtures/two-mounts.ts'
import { expect } from '../fixtures/wait.ts'
import { Prng } from '../simulation/random.ts'

// Writes are answered before they are sent. Nobody may be able to tell, but by the speed.

t.setTimeout(300_000)

const { cluster, here, there } = await twoMounts(t)

/** Line `n` of a file is its number, and as many dots as it says. */
const lines = `
import hashlib, time
def entry(n): return b"%08d" % n + b"." * (n * 7919 % 97) + b"\\n"
def upto(n): return b"".join(entry(i) for i in range(n))
def write(f, a, b):
    for i in range(a, b): os.write(f, entry(i))
def same(path, n):
    got = open(path, "rb").read()
    want = upto(n)
    if got == want and os.stat(path).st_size == len(want): return "same"
    at = next((i for i, (x, y) in enumerate(zip(got, want)) if x != y), min(len(got), len(want)))
    return "%d bytes, wanted %d, the first other at %d" % (len(got), len(want), at)
`
await Promise.all([here.ask(lines), there.ask(lines)])

void t.test('a program that writes little by little is not slowed by the network', async (t) => {
  const timed = (count: number, flags: string): string => `
f = os.open("slow", os.O_CREAT | os.O_WRONLY | os.O_TRUNC ${flags})
began = time.monotonic()
for i in range(${count}): os.write(f, b"x" * 4096)
took = (time.monotonic() - began) / ${count}
os.close(f)`
  await here.ask(timed(100, '| os.O_DSYNC'))
  const through = Number(await here.ask('took'))
  await here.ask(timed(2_000, ''))
  const behind = Number(await here.ask('took'))
  t.comment(
    `a write of 4 KiB: ${(behind * 1e6).toFixed(0)} us; each through to all disks: ${(through * 1e6).toFixed(0)} us`,
  )
  t.ok(behind < through / 10, 'far from it')
  t.equal(await there.ask('os.stat("slow").st_size'), 2_000 * 4096)
})

void t.test('whoever looks elsewhere sees all that was written by then, whoever wrote it', async (t) => {
  t.comment(`BANYAN_SEED=${seed}`)
  const random = new Prng(seed)
  const names = ['a', 'b', 'c']
  const counts = new Map(names.map((name) => [name, 0]))
  for (const prober of [here, there]) {
    await prober.ask(`f = {n: os.open(n, os.O_CREAT | os.O_WRONLY | os.O_APPEND) for n in ${JSON.stringify(names)}}`)
  }
  for (let round = 0; round < 120; round++) {
    const name = random.pick(names)
    const [writer, reader] = random.below(4) === 0 ? [there, here] : [here, there]
    const from = expect(counts.get(name), 'no count')
    const to = from + 1 + random.below(40)
    await writer.ask(`write(f["${name}"], ${from}, ${to})`)
    counts.set(name, to)
    if (random.below(3) > 0) t.equal(await reader.ask(`same("${name}", ${to})`), 'same', `${name} after ${to} lines`)
    if (random.below(5) === 0) t.equal(await writer.ask(`same("${name}", ${to})`), 'same')
    if (random.below(8) === 0)
      t.equal(
        await reader.ask(`[x.stat().st_size for x in os.scandir(".") if x.name == "${name}"][0] == len(upto(${to}))`),
        true,
      )
  }
  for (const prober of [here, there]) await prober.ask('[os.close(x) for x in f.values()]')
  await cluster.verifyEqual()
})

void t.test('what a driver held back when it was killed is written by the next, once', async (t) => {
  await here.ask('f = os.open("killed", os.O_CREAT | os.O_WRONLY | os.O_APPEND)')
  for (let round = 0; round < 5; round++) {
    const writing = here.ask(`write(f, ${round * 1500}, ${(round + 1) * 1500})`)
    await cluster.killDriver(cluster.tree)
    t.equal(await writing, null, 'no error')
    if (round % 2 === 0) continue
    t.equal(await there.ask(`same("killed", ${(round + 1) * 1500})`), 'same', `after kill ${round + 1}`)
  }
  await here.ask('os.close(f)')
  t.equal(await there.ask('same("killed", 7500)'), 'same')
})

void t.test('writes here and there are seen everywhere, and outlive the driver', async (t) => {
  t.comment(`BANYAN_SEED=${seed}`)
  await here.ask(`
import random
r = random.Random(${seed}); size = 1 << 20; model = bytearray(size)
f = os.open("scattered", os.O_CREAT | os.O_RDWR); os.pwrite(f, bytes(size), 0)
def scatter(n):
    for _ in range(n):
        at = r.randrange(size - 5000); data = bytes([r.randrange(256)]) * r.randrange(1, 5000)
        os.pwrite(f, data, at); model[at:at + len(data)] = data
def digest(): return hashlib.sha256(bytes(model)).hexdigest()`)
  const read = 'hashlib.sha256(open("scattered", "rb").read()).hexdigest()'
  for (let round = 0; round < 5; round++) {
    await here.ask('scatter(150)')
    const wanted = await here.ask('digest()')
    t.equal(await (round % 2 === 0 ? there : here).ask(read), wanted, `round ${round}`)
  }
  for (let round = 0; round < 3; round++) {
    const scattering = here.ask('scatter(1500)')
    await cluster.killDriver(cluster.tree)
    t.equal(await scattering, null, 'no error')
    t.equal(await there.ask(read), await here.ask('digest()'), `after kill ${round + 1}`)
  }
  await here.ask('began = time.monotonic(); scatter(1000); took = time.monotonic() - began; os.fsync(f); os.close(f)')
  t.comment(`a scattered write: ${((Number(await here.ask('took')) / 1000) * 1e6).toFixed(0)} us`)
})

void t.test('and through the death of the primary', async (t) => {
  const primary = await cluster.primary()
  await here.ask('f = os.open("taken-over", os.O_CREAT | os.O_WRONLY | os.O_APPEND)')
  const writing = here.ask('write(f, 0, 20000)')
  cluster.signal(await cluster.pidOf(primary), 'SIGKILL')
  t.equal(await writing, null, 'no error')
  t.equal(await there.ask('same("taken-over", 20000)'), 'same')
  await here.ask('write(f, 20000, 20100); os.fsync(f); os.close(f)')
  t.equal(await there.ask('same("taken-over", 20100)'), 'same')
  await cluster.startServer(primary)
  await cluster.inSync()
  await cluster.verifyEqual()
})

void t.test('who waits for a driver that is stopped does so for a while, and what is lost is said', async (t) => {
  await here.ask('f = os.open("stopped", os.O_CREAT | os.O_WRONLY | os.O_APPEND)')
  await here.ask('write(f, 0, 500); os.fsync(f); write(f, 500, 1000)')
  await here.ask('g = os.open("stopped-too", os.O_CREAT | os.O_WRONLY | os.O_APPEND); write(g, 0, 500)')
  const driver = expect(cluster.driverOf(cluster.tree), 'the mount has no driver')
  cluster.signal(driver, 'SIGSTOP')
  const began = performance.now()
  const size = Number(await there.ask('os.stat("stopped").st_size'))
  await there.ask('os.path.exists("stopped-too") and os.stat("stopped-too")')
  const waitedMs = performance.now() - began
  t.comment(`waited ${waitedMs.toFixed(0)} ms`)
  t.ok(waitedMs < 15_000, 'not for ever, and not for each file anew')
  cluster.signal(driver, 'SIGCONT')
  const said = await here.ask('os.fsync(f)')
  const all = Number(await there.ask('len(upto(1000))'))
  t.ok(size === all || said === 'EIO', `${size} of ${all} bytes were there; fsync said ${JSON.stringify(said)}`)
  t.equal(await here.ask('os.fsync(f)'), null, 'once')
  await here.ask('os.ftruncate(f, 0); write(f, 0, 10); os.close(f); os.close(g)')
  t.equal(await there.ask('same("stopped", 10)'), 'same', 'and it goes on')
})

void t.test('unmounting writes what is held back', async (t) => {
  const third = await cluster.mount('third')
  const writer = new Prober(third)
  await writer.ask(lines)
  await writer.ask('f = os.open("unmounted", os.O_CREAT | os.O_WRONLY); write(f, 0, 3000); os.close(f); os.chdir("/")')
  await cluster.unmount(join(third))
  writer.close()
  t.equal(await there.ask('same("unmounted", 3000)'), 'same')
})
