import t from 'tap'
import { seed } from '../fixtures/random.ts'
import { twoMounts } from '../fixtures/two-mounts.ts'
import { expect } from '../fixtures/wait.ts'
import { Prng } from '../simulation/random.ts'

// What is made in a directory is answered before it is sent. Nobody may be able to tell, but by the speed.

t.setTimeout(300_000)

const { cluster, here, there } = await twoMounts(t)

/** Things number `n` of a tree: what each is follows from its number. `looks` says what is wrong with them. */
const things = `
import stat, time
def kind(n): return ("dir", "file", "file", "link", "file", "file")[n % 6]
def name(n): return "%s/%s%d" % (place(n), kind(n), n)
def place(n): return tree if n < 24 else name(n // 24 * 6)
def data(n): return b"%d:" % n * (n * 37 % 300)
def mode(n): return 0o600 | (n * 5 & 0o77)
def when(n): return (1000000 + n, 2000000 + n)
def make(n):
    path = name(n)
    if kind(n) == "dir": os.mkdir(path, mode(n)); return
    if kind(n) == "link": os.symlink("to%d" % n, path); return
    f = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    half = len(data(n)) // 2
    os.write(f, data(n)[:half]); os.write(f, data(n)[half:])
    os.fchown(f, 1000 + n % 7, 2000); os.fchmod(f, mode(n)); os.utime(f, when(n)); os.close(f)
def make_all(a, b):
    for n in range(a, b): make(n)
def shown(n):
    s = os.lstat(name(n))
    what = [stat.S_IFMT(s.st_mode), s.st_ino, s.st_mode, s.st_nlink, s.st_uid, s.st_gid, s.st_size, s.st_blocks, s.st_mtime_ns, s.st_ctime_ns]
    return [str(x) for x in what] + [os.readlink(name(n)) if kind(n) == "link" else os.read(os.open(name(n), os.O_RDONLY), 100000).hex() if kind(n) == "file" else None]
def looks(a, b):
    wrong = []
    for n in range(a, b):
        try: s = os.lstat(name(n))
        except OSError as e: wrong.append("%s: %s" % (name(n), e)); continue
        if kind(n) == "link" and os.readlink(name(n)) != "to%d" % n: wrong.append("link %d" % n)
        if kind(n) != "file": continue
        f = os.open(name(n), os.O_RDONLY); got = os.read(f, 100000); os.close(f)
        if got != data(n) or s.st_size != len(got): wrong.append("data of %d: %d bytes" % (n, len(got)))
        if (stat.S_IMODE(s.st_mode), s.st_uid, int(s.st_mtime)) != (mode(n), 1000 + n % 7, 2000000 + n): wrong.append("attributes of %d" % n)
    return wrong
def count(): return sum(len(f) + len(d) for _, d, f in os.walk(tree))
`
await Promise.all([here.ask(things), there.ask(things)])
const begin = async (tree: string): Promise<void> => {
  await Promise.all([here, there].map((prober) => prober.ask(`tree = "${tree}"`)))
  await here.ask('os.mkdir(tree)')
}

void t.test('what is made in a directory costs no round trip each', async (t) => {
  await begin('quick')
  const timed = async (count: number, first: number): Promise<number> => {
    await here.ask(
      `began = time.monotonic(); make_all(${first}, ${first + count}); took = (time.monotonic() - began) / ${count}`,
    )
    return Number(await here.ask('took'))
  }
  await timed(12, 0)
  const behind = await timed(240, 12)
  await here.ask(`
began = time.monotonic()
for n in range(20):
    f = os.open("each%d" % n, os.O_CREAT | os.O_EXCL | os.O_WRONLY); os.write(f, b"x"); os.fsync(f); os.fchown(f, 1, 1); os.fchmod(f, 0o600); os.utime(f, (1, 1)); os.fsync(f); os.close(f)
took = (time.monotonic() - began) / 20`)
  const through = Number(await here.ask('took'))
  t.comment(`each ${(behind * 1e3).toFixed(2)} ms; through to all disks ${(through * 1e3).toFixed(1)} ms`)
  t.ok(behind < through / 2, 'far from it')
  t.same(await there.ask('looks(0, 252)'), [])
  t.equal(await there.ask('count()'), 252)
})

void t.test('whoever looks elsewhere sees all that was made by then, exactly as it is here', async (t) => {
  t.comment(`BANYAN_SEED=${seed}`)
  const random = new Prng(seed)
  await begin('seen')
  let made = 0
  for (let round = 0; round < 60; round++) {
    const more = 1 + random.below(12)
    const maker = random.below(8) === 0 ? there : here
    const looker = maker === here ? there : here
    t.equal(await maker.ask(`make_all(${made}, ${made + more})`), null)
    made += more
    const n = made - 1 - random.below(more)
    // As its maker sees it, perhaps still only there; then elsewhere; then where it was made, by the servers.
    const at = await maker.ask(`shown(${n})`)
    t.same(await looker.ask(`shown(${n})`), at, `thing ${n}`)
    t.same(await maker.ask(`shown(${n})`), at, `thing ${n} again`)
    if (random.below(4) === 0) t.equal(await looker.ask('count()'), made)
  }
  t.same(await there.ask(`looks(0, ${made})`), [])
  await cluster.verifyEqual()
})

void t.test('what a driver held back when it was killed is done by the next, once', async (t) => {
  await begin('killed')
  for (let round = 0; round < 3; round++) {
    const making = here.ask(`make_all(${round * 400}, ${(round + 1) * 400})`)
    await cluster.killDriver(cluster.tree)
    t.equal(await making, null, 'no error')
    if (round % 2 === 1) t.same(await there.ask(`looks(0, ${(round + 1) * 400})`), [], `after kill ${round + 1}`)
  }
  t.equal(await there.ask('count()'), 1200)
})

void t.test('and through the death of the primary', async (t) => {
  await begin('taken-over')
  const primary = await cluster.primary()
  const making = here.ask('make_all(0, 1200)')
  cluster.signal(await cluster.pidOf(primary), 'SIGKILL')
  t.equal(await making, null, 'no error')
  t.same(await there.ask('looks(0, 1200)'), [])
  t.equal(await there.ask('count()'), 1200)
  await cluster.startServer(primary)
  await cluster.inSync()
  await cluster.verifyEqual()
})

void t.test('names that two hosts want at once are had by one', async (t) => {
  await begin('wanted')
  const want = `
won = []
for n in range(200):
    try: os.close(os.open("%s/n%d" % (tree, n), os.O_CREAT | os.O_EXCL | os.O_WRONLY)); won.append(n)
    except FileExistsError: pass`
  await Promise.all([here.ask(want), there.ask(want)])
  const [a, b] = (await Promise.all([here.ask('won'), there.ask('won')])) as [number[], number[]]
  t.same(
    [...a, ...b].sort((x, y) => x - y),
    Array.from({ length: 200 }, (_, n) => n),
    `${a.length} and ${b.length}`,
  )
})

void t.test('what else is done in such a directory finds what was made', async (t) => {
  await begin('mixed')
  await here.ask(`
import fcntl
for n in range(150):
    p = "%s/f%d" % (tree, n)
    f = os.open(p, os.O_CREAT | os.O_EXCL | os.O_RDWR); os.write(f, b"a" * n)
    if n % 10 == 0: os.rename(p, p + "r")
    elif n % 10 == 1: os.link(p, p + "l")
    elif n % 10 == 2: os.unlink(p); assert os.fstat(f).st_nlink == 0
    elif n % 10 == 3: fcntl.lockf(f, fcntl.LOCK_EX); assert os.pread(f, 1000, 0) == b"a" * n
    elif n % 10 == 4: os.mkdir(p + "d"); os.rename(p, p + "d/x")
    elif n % 10 == 5: os.setxattr(p, "user.k", b"v")
    elif n % 10 == 6: os.truncate(p, 3); assert os.fstat(f).st_size == 3
    elif n % 10 == 7: assert len(os.listdir(tree)) > n // 2
    elif n % 10 == 8: assert open(p, "rb").read() == b"a" * n; os.close(os.open(p, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)); assert os.stat(p).st_size == 0
    else: os.chmod(p, 0o4755); assert os.stat(p).st_mode & 0o7777 == 0o4755
    os.close(f)
`)
  const listing = 'sorted([(p, len(d), len(f)) for p, d, f in os.walk(tree)])'
  t.same(await there.ask(listing), await here.ask(listing))
  t.equal(await there.ask('count()'), 150 + 15 - 15 + 15)
  await cluster.verifyEqual()
})

void t.test('who waits for a driver that is stopped does so for a while, and what is lost is said', async (t) => {
  await begin('stopped')
  await here.ask('make_all(0, 60); d = os.open(tree, os.O_RDONLY); os.fsync(d)')
  await here.ask('f = os.open(tree + "/last", os.O_CREAT | os.O_EXCL | os.O_WRONLY); os.write(f, b"x")')
  const driver = expect(cluster.driverOf(cluster.tree), 'the mount has no driver')
  cluster.signal(driver, 'SIGSTOP')
  const began = performance.now()
  const seen = await there.ask('os.path.exists(tree + "/last")')
  const waitedMs = performance.now() - began
  t.comment(`waited ${waitedMs.toFixed(0)} ms`)
  t.ok(waitedMs < 15_000, 'not for ever')
  t.same(await there.ask('looks(0, 60)'), [], 'what was synced is there')
  cluster.signal(driver, 'SIGCONT')
  const said = await here.ask('os.fsync(f)')
  t.ok(
    seen === true || said === 'EIO' || said === 'ESTALE',
    `seen: ${JSON.stringify(seen)}; fsync said ${JSON.stringify(said)}`,
  )
  await here.ask('os.close(f)')
  const directory = [await here.ask('os.fsync(d)'), await here.ask('os.fsync(d)')]
  t.same(directory, [seen === true ? null : 'EIO', null], 'the directory lacks it, and says so, once')
  await here.ask('os.close(d)')
  await begin('after')
  t.equal(await here.ask('make_all(0, 40)'), null)
  t.same(await there.ask('looks(0, 40)'), [], 'and it goes on')
})
