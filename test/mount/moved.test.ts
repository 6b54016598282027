import t, { type Test } from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { Prober } from '../fixtures/prober.ts'

// What one host has moved, another one moves on or removes by its new name at once, though its kernel has it elsewhere.

t.setTimeout(120_000)

const cluster = await Cluster.start(t)
const primary = await cluster.primary()
const [mirror = ''] = await cluster.others()
const paths = [
  await cluster.mount(`at-${primary}`, { provider: primary }),
  await cluster.mount(`at-${mirror}`, { provider: mirror }),
] as const
const [here, there] = [new Prober(paths[0]), new Prober(paths[1])]
const sides = [here, there]
t.teardown(() => {
  for (const side of sides) side.close()
})

/** A fresh tree: `a/x` with a file, `a/d`, and `b`. Both hosts work in it, and their kernels know all of it. */
async function tree(t: Test, top: string): Promise<void> {
  const make = ['', '/a', '/a/d', '/a/x', '/b'].map((dir) => `os.mkdir('${top}${dir}')`).join('; ')
  t.equal(await there.ask(`${make}; open('${top}/a/x/f', 'w').close()`), null)
  for (const side of sides) t.equal(await side.ask(`os.chdir('${top}')`), null)
  for (const side of sides) t.same(await side.ask(`names('a/x') + names('a/d') + names('b')`), ['f'])
}

/** What the other host does, what is done here right after it, and where `f` is then. */
const cases = [
  { name: 'moved on', moves: `os.rename('a/x', 'b/x')`, does: `os.rename('b/x', 'c')`, found: 'c/f' },
  { name: 'moved back', moves: `os.rename('a/x', 'b/x')`, does: `os.rename('b/x', 'a/y')`, found: 'a/y/f' },
  { name: 'put back', moves: `os.rename('a/x', 'b/x')`, does: `os.rename('b/x', 'a/x')`, found: 'a/x/f' },
  { name: 'moved up', moves: `os.rename('a/x', 'a/d/x')`, does: `os.rename('a/d/x', 'a/x')`, found: 'a/x/f' },
  { name: 'removed', moves: `os.unlink('a/x/f'); os.rename('a/x', 'b/x')`, does: `os.rmdir('b/x')`, found: 'b' },
  {
    name: 'replaced',
    moves: `os.unlink('a/x/f'); os.rename('a/x', 'b/x')`,
    does: `open('a/d/f', 'w').close(); os.rename('a/d', 'b/x')`,
    found: 'b/x/f',
  },
]

for (const { name, moves, does, found } of cases) {
  void t.test(`a directory that another host has moved can be ${name}`, async (t) => {
    for (let round = 0; round < 3; round++) {
      await tree(t, `${cases.findIndex((one) => one.name === name)}-${round}`)
      t.equal(await there.ask(moves), null)
      t.equal(await here.ask(does), null)
      for (const side of [there, here]) t.equal(await side.ask(`os.path.exists('${found}')`), true)
      for (const side of sides) t.equal(await side.ask(`os.chdir('..')`), null)
    }
  })
}

void t.test('one that a process here stands in can be moved on once somebody has looked at it', async (t) => {
  await tree(t, 'top')
  const stands = new Prober(`${paths[0]}/top/a/x`)
  t.teardown(() => stands.close())
  t.equal(await stands.ask(`os.getcwd()`), `${paths[0]}/top/a/x`)
  t.equal(await there.ask(`os.rename('a/x', 'b/x')`), null)
  t.equal(await here.ask(`os.stat('b/x').st_nlink`), 2)
  t.equal(await stands.ask(`os.getcwd()`), `${paths[0]}/top/b/x`)
  t.equal(await here.ask(`os.rename('b/x', 'c')`), null)
  t.equal(await stands.ask(`os.getcwd()`), `${paths[0]}/top/c`)
  t.equal(await there.ask(`os.stat('c').st_nlink`), 2)
})

void t.test('of two hosts that rename one file to one new name at the same moment, one does', async (t) => {
  t.equal(await here.ask(`os.mkdir('race')`), null)
  for (const side of sides) t.equal(await side.ask(`os.chdir('race')`), null)
  const told = new Map<string, number>()
  for (let round = 0; round < 150; round++) {
    const side = sides[round % 2] ?? here
    t.equal(await side.ask(`open('f${round}', 'w').close()`), null)
    for (const looks of sides) await looks.ask(`os.path.exists('f${round}'), os.path.exists('g${round}')`)
    const renamed = await Promise.all(sides.map((one) => one.ask(`os.rename('f${round}', 'g${round}')`)))
    const both = renamed.map(String).sort().join(' ')
    told.set(both, (told.get(both) ?? 0) + 1)
  }
  t.same(Object.fromEntries(told), { 'ENOENT null': 150 })
})
