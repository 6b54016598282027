import t from 'tap'
import { calls } from '../../fixtures/calls.ts'
import { type LeasingMount, mountLeasing, settleInKernel } from '../../fixtures/leasing-mount.ts'

// The kernel looks the two names of a rename up one after the other: between them another host renames the same file.

/** Another host does that when the kernel asks for `name`: it has looked the old name up by then. */
function whenAsked({ provider }: LeasingMount, name: string, change: () => Promise<void>): void {
  provider.gate = (call) => {
    if (call.$case !== 'lookup' || Buffer.from(call.value.name).toString() !== name) return undefined
    provider.gate = () => undefined
    return change()
  }
}

const cases: readonly { readonly what: string; readonly ready: string }[] = [
  { what: 'nothing has', ready: 'open("f", "w").close()' },
  { what: 'nothing has, of a directory', ready: 'os.mkdir("f")' },
  { what: 'another file has', ready: 'open("f", "w").close(); open("g", "w").close()' },
  { what: 'nothing has, of a file with a third name', ready: 'open("f", "w").close(); os.link("f", "h")' },
]

for (const { what, ready } of cases) {
  void t.test(`what another host has just renamed to a name that ${what} is not renamed`, async (t) => {
    const mount = await mountLeasing(t)
    const probe = mount.prober()
    mount.provider.granting = false // the kernel asks for both names
    t.equal(await probe.ask(ready), null)
    t.equal(await probe.ask('os.path.exists("f")'), true)
    whenAsked(mount, 'g', () => mount.provider.change(calls.rename('f', 'g')))
    t.equal(await probe.ask('os.rename("f", "g")'), 'ENOENT')
    t.same(await probe.ask('os.path.exists("f"), os.path.exists("g")'), [false, true])
    t.equal(await probe.ask('os.rename("g", "f")'), null)
    t.same(mount.errors, [])
  })
}

for (const [what, make] of Object.entries({ file: 'open("d/h", "w").close()', directory: 'os.mkdir("d/h")' })) {
  void t.test(`nor a ${what} by a thread whose rename before was not made, and which the kernel knows`, async (t) => {
    const mount = await mountLeasing(t)
    const { provider } = mount
    const probe = mount.prober()
    const other = mount.prober()
    for (const source of ['os.mkdir("d")', make, 'open("f", "w").close()']) t.equal(await probe.ask(source), null)
    t.equal(await probe.ask('os.path.exists("f")'), true)
    whenAsked(mount, 'g', () => provider.change(calls.rename('f', 'g')))
    t.equal(await probe.ask('os.rename("f", "g")'), 'ENOENT')
    t.equal(await settleInKernel(mount, () => other.ask('os.path.exists("d/h")')), true)
    whenAsked(mount, 'i', () => provider.change(calls.rename('h', 'i', provider.inodeOf('d'))))
    t.equal(await probe.ask('os.rename("d/h", "d/i")'), 'ENOENT')
    t.same(await probe.ask('names("d")'), ['i'])
    t.same(mount.errors, [])
  })
}

void t.test('nor when it came back, and went there again, while the kernel looked once more', async (t) => {
  const mount = await mountLeasing(t)
  const { provider } = mount
  const probe = mount.prober()
  provider.granting = false
  t.equal(await probe.ask('open("f", "w").close(); os.path.exists("f")'), null)
  const there = () => provider.change(calls.rename('f', 'g'))
  const back = () => provider.change(calls.rename('g', 'f'))
  const first = async () => {
    whenAsked(mount, 'f', async () => {
      whenAsked(mount, 'g', there)
      await back()
    })
    await there()
  }
  whenAsked(mount, 'g', first)
  t.equal(await probe.ask('os.rename("f", "g")'), 'ENOENT')
  t.same(await probe.ask('names(".")'), ['g'])
  t.equal(await probe.ask('os.path.exists("f"), os.path.exists("g")').then(String), 'false,true')
  t.same(mount.errors, [])
})

void t.test('whatever else is done with its new name finds it', async (t) => {
  const mount = await mountLeasing(t)
  const probe = mount.prober()
  const ways = {
    'os.stat(NEW).st_nlink': 1,
    'os.close(os.open(NEW, os.O_RDWR | os.O_CREAT))': null,
    'os.unlink(NEW)': null,
    'os.link(NEW, "linked")': null,
    'os.chmod(NEW, 0o600)': null,
    'os.rename(NEW, "renamed")': null,
    'os.rename("other", NEW)': null,
    'os.mkdir(NEW)': 'EEXIST',
    'os.symlink("to", NEW)': 'EEXIST',
    'os.link("other", NEW)': 'EEXIST',
    'os.mknod(NEW)': 'EEXIST',
    'os.open(NEW, os.O_CREAT | os.O_EXCL)': 'EEXIST',
  }
  for (const [at, [way, comesTo]] of Object.entries(ways).entries()) {
    await probe.ask(`open("other", "w").close(); open("f${at}", "w").write("text")`)
    await probe.ask(`os.stat("f${at}"), os.path.exists("g${at}")`)
    await mount.provider.change(calls.rename(`f${at}`, `g${at}`))
    t.equal(await probe.ask(way.replaceAll('NEW', `"g${at}"`)), comesTo, way)
  }
  t.same(mount.errors, [])
})

void t.test('two names of one file stay when one is renamed to the other', async (t) => {
  const mount = await mountLeasing(t)
  const probe = mount.prober()
  await probe.ask('open("f", "w").close(); os.link("f", "g")')
  t.equal(await probe.ask('os.rename("f", "g")'), null)
  t.same(await probe.ask('names("."), os.stat("g").st_nlink'), [['f', 'g'], 2])
  t.same(mount.errors, [])
})
