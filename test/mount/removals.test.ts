import t from 'tap'
import { seed } from '../fixtures/random.ts'
import { requestsOf } from '../fixtures/requests-of.ts'
import { twoMounts } from '../fixtures/two-mounts.ts'
import { expect } from '../fixtures/wait.ts'
import { Prng } from '../simulation/random.ts'

// What is removed and renamed under holds is answered before it is sent. Nobody may be able to tell.

t.setTimeout(300_000)

const { cluster, here, there } = await twoMounts(t)

const tools = `
import shutil, subprocess, time
def fill(tree, dirs, files):
    for d in range(dirs):
        os.makedirs("%s/d%d" % (tree, d))
        for n in range(files):
            f = os.open("%s/d%d/f%d" % (tree, d, n), os.O_CREAT | os.O_WRONLY); os.write(f, b"%d/%d" % (d, n)); os.close(f)
def files(tree): return sorted(os.path.relpath(os.path.join(p, n), tree) for p, _, f in os.walk(tree) for n in f)
def contents(tree): return [[n, open(os.path.join(tree, n), "rb").read().decode(), os.stat(os.path.join(tree, n)).st_nlink] for n in files(tree)]
`
await Promise.all([here.ask(tools), there.ask(tools)])

/** A tree that was made elsewhere: nobody here has a hold on anything in it. */
const made = (tree: string, dirs: number, files: number): Promise<unknown> =>
  there.ask(`fill("${tree}", ${dirs}, ${files}); os.sync()`)

void t.test(
  'names that are taken away one after another are gone elsewhere, and what was renamed is there',
  async (t) => {
    await here.ask('fill("quick", 4, 150); os.sync()') // who looked elsewhere would have it written through for a while
    // Half of them took so long at most, s.
    const median = async (count: number, what: string): Promise<number> => {
      const source = `took = []\nfor n in range(${count}):\n    a = time.monotonic(); ${what}; took.append(time.monotonic() - a)`
      t.equal(await here.ask(source), null)
      return Number(await here.ask('sorted(took)[len(took) // 2]'))
    }
    const before = await requestsOf(cluster, cluster.tree)
    const renames = await median(150, 'os.rename("quick/d0/f%d" % n, "quick/d0/g%d" % n)')
    const removals = await median(150, 'os.unlink("quick/d1/f%d" % n)')
    const after = await requestsOf(cluster, cluster.tree)
    for (const operation of ['lookup', 'rename', 'unlink']) {
      const count = (after[operation] ?? 0) - (before[operation] ?? 0)
      t.ok(count < 30, `of 150 of each ${count} ${operation} went to the servers`)
    }
    const through = await median(60, 'os.setxattr("quick/d0/g%d" % n, "user.k", b"v")')
    t.equal(await here.ask('subprocess.run(["rm", "-rf", "quick/d1", "quick/d2", "quick/d3"]).returncode'), 0)
    const [rename, removal, change] = [renames, removals, through].map((s) => (s * 1e3).toFixed(2))
    t.comment(`${rename} ms a rename, ${removal} a removal, ${change} a change that goes through`)
    t.same(await there.ask('[os.listdir("quick"), len(files("quick"))]'), [['d0'], 150])
  },
)

void t.test('whoever looks elsewhere sees at once what is gone, and where it went', async (t) => {
  t.comment(`BANYAN_SEED=${seed}`)
  const random = new Prng(seed)
  await made('seen', 3, 60)
  let names = Array.from({ length: 180 }, (_, n) => `d${Math.floor(n / 60)}/f${n % 60}`)
  const data = new Map(names.map((name) => [name, name.replace(/d(\d+).f(\d+)/, '$1/$2')]))
  for (let round = 0; names.length > 20; round++) {
    const changer = random.below(6) === 0 ? there : here
    const looker = changer === here ? there : here
    const steps: string[] = []
    for (let n = 2 + random.below(6); n > 0; n--) {
      const name = expect(names[random.below(names.length)], 'no name')
      const other = expect(names[random.below(names.length)], 'no name')
      const kind = random.below(3)
      const target = kind === 1 ? other : `d${random.below(3)}/r${round}.${n}`
      if (kind > 0 && target === name) continue
      names = names.filter((one) => one !== name && (kind === 0 || one !== target))
      if (kind === 0) steps.push(`os.unlink("seen/${name}")`)
      else {
        steps.push(`os.rename("seen/${name}", "seen/${target}")`)
        names.push(target)
        data.set(target, expect(data.get(name), 'no data'))
      }
      data.delete(name)
    }
    t.equal(await changer.ask(steps.join('; ') || 'None'), null, steps.join('; '))
    const wanted = [...names].sort().map((name) => [name, data.get(name), 1])
    t.same(await looker.ask('contents("seen")'), wanted, `round ${round}: ${steps.join('; ')}`)
    if (random.below(2) === 0) t.same(await changer.ask('contents("seen")'), wanted, `round ${round}, at home`)
  }
  await cluster.verifyEqual()
})

void t.test('a file that is removed here while it is open elsewhere goes on there', async (t) => {
  await made('open', 1, 40)
  await there.ask('opened = [os.open("open/d0/f%d" % n, os.O_RDWR) for n in range(40)]')
  await here.ask('[os.unlink("open/d0/f%d" % n) for n in range(40)]')
  t.same(
    await there.ask('[os.fstat(f).st_nlink for f in opened]'),
    Array.from({ length: 40 }, () => 0),
  )
  t.equal(await there.ask('os.pwrite(opened[7], b"more", 3)'), 4)
  t.equal(await there.ask('os.pread(opened[7], 99, 0).decode()'), '0/7more')
  await there.ask('[os.close(f) for f in opened] and None')
})

void t.test('files open here go on here, and hard links count', async (t) => {
  await made('links', 1, 60)
  await here.ask(`
held = [os.open("links/d0/f%d" % n, os.O_RDWR) for n in range(60)]
os.link("links/d0/f5", "links/five")
for n in range(0, 60, 2): os.unlink("links/d0/f%d" % n)
for n in range(1, 60, 2): os.rename("links/d0/f%d" % n, "links/d0/g%d" % n)
for n in range(60): os.pwrite(held[n], b"!", 0)
`)
  const nlinks = Array.from({ length: 60 }, (_, n) => (n % 2 === 0 ? 0 : n === 5 ? 2 : 1))
  t.same(await here.ask('[os.fstat(f).st_nlink for f in held]'), nlinks)
  t.same(
    await here.ask('[os.pread(f, 1, 0).decode() for f in held]'),
    nlinks.map(() => '!'),
  )
  t.same(await there.ask('[len(os.listdir("links/d0")), open("links/five", "rb").read().decode()]'), [30, '!/5'])
  await here.ask('[os.close(f) for f in held] and None')
})

void t.test('names that two hosts want to take away at once are had by one', async (t) => {
  await made('wanted', 1, 200)
  const want = (what: string): string => `
won = []
for n in range(200):
    try: ${what}; won.append(n)
    except FileNotFoundError: pass`
  await Promise.all([
    here.ask(want('os.unlink("wanted/d0/f%d" % n)')),
    there.ask(want('os.rename("wanted/d0/f%d" % n, "wanted/d0/t%d" % n)')),
  ])
  const [a, b] = (await Promise.all([here.ask('won'), there.ask('won')])) as [number[], number[]]
  t.same(
    [...a, ...b].sort((x, y) => x - y),
    Array.from({ length: 200 }, (_, n) => n),
    `${a.length} and ${b.length}`,
  )
  t.same(await here.ask('files("wanted")'), b.map((n) => `d0/t${n}`).sort())
})

void t.test('what a driver held back when it was killed is done by the next, once', async (t) => {
  await made('killed', 2, 300)
  for (const round of [0, 1, 2]) {
    const first = round * 100
    const going = here.ask(
      `[(os.rename("killed/d0/f%d" % n, "killed/d0/g%d" % n), os.unlink("killed/d1/f%d" % n)) for n in range(${first}, ${first + 100})] and None`,
    )
    await cluster.killDriver(cluster.tree)
    t.equal(await going, null, 'no error')
  }
  t.equal(await there.ask('len([n for n in os.listdir("killed/d0") if n.startswith("g")])'), 300)
  t.equal(await there.ask('len(os.listdir("killed/d1"))'), 0)
})

void t.test('and through the death of the primary', async (t) => {
  await made('taken-over', 8, 60)
  const primary = await cluster.primary()
  const going = here.ask('subprocess.run(["rm", "-r", "taken-over"]).returncode')
  cluster.signal(await cluster.pidOf(primary), 'SIGKILL')
  t.equal(await going, 0, 'no error')
  t.equal(await there.ask('os.path.exists("taken-over")'), false)
  await cluster.startServer(primary)
  await cluster.inSync()
  await cluster.verifyEqual()
})
