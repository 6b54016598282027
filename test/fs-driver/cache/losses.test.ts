import t from 'tap'
import type { FileCall } from '../../../fs-driver/router/file-client.ts'
import { calls } from '../../fixtures/calls.ts'
import { type LeasingMount, mountLeasing } from '../../fixtures/leasing-mount.ts'
import { pause, waitFor } from '../../fixtures/wait.ts'

/** A gate for calls of one kind: `reached` when one stands before it, until `open`. */
function gateFor(kind: FileCall['$case']) {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  let reach = () => {}
  const reached = new Promise<void>((resolve) => {
    reach = resolve
  })
  const gate = (call: FileCall) => {
    if (call.$case !== kind) return undefined
    reach()
    return opened
  }
  return { gate, open, reached }
}

/** Whether the kernel answers by itself. */
async function isInKernel(mount: LeasingMount, ask: () => Promise<unknown>): Promise<boolean> {
  process.kill(mount.mounted.pid(), 'SIGSTOP')
  const asking = ask()
  const answer = await Promise.race([asking.then(() => true), pause(400).then(() => false)])
  process.kill(mount.mounted.pid(), 'SIGCONT')
  await asking
  return answer
}

const until = (what: string, ask: () => Promise<boolean> | boolean) =>
  waitFor(async () => ((await ask()) ? true : undefined), { what, limitMs: 30_000 })

/** A file that one process has open, with its pages, size and name in the kernel. */
async function withCachedFile(mount: LeasingMount) {
  const probe = mount.prober()
  await probe.ask('open("f", "w").write("old " * 5000); fd = os.open("f", os.O_RDONLY)')
  const reopen = () => probe.ask('os.close(fd); fd = os.open("f", os.O_RDONLY)')
  const look = () => probe.ask('[os.pread(fd, 4, 4096).decode(), os.stat("f").st_mode & 0o777, os.path.exists("g")]')
  // The kernel says late that the writer has closed it; what is opened before fills no pages.
  await until('a kernel that knows all of it', async () => {
    await reopen()
    await look()
    return isInKernel(mount, look)
  })
  const ino = mount.provider.inodeOf('f')
  const change = () => {
    for (const call of [calls.write(ino, 'new ', 4096n), calls.chmod(ino, 0o600), calls.create('g')]) {
      mount.provider.changeAtOnce(call)
    }
  }
  return { probe, look, change, ino }
}

const now = ['new ', 0o600, true]

void t.test('a recall is answered while a change of our own in the same directory is not', async (t) => {
  const mount = await mountLeasing(t)
  const { provider } = mount
  const [one, other] = [mount.prober(), mount.prober()]
  await one.ask('os.mkdir("d"); os.mkdir("e")')
  t.same(await other.ask('[os.path.exists("d/mine"), os.path.exists("d/theirs"), names("d")]'), [false, false, []])
  const d = provider.inodeOf('d')
  const { gate, open, reached } = gateFor('create')
  provider.gate = gate
  const creating = one.ask('open("d/mine", "w").close()')
  await reached
  await provider.change(calls.mkdir('theirs', d))
  const slowest = Math.max(...provider.recalls.map(({ ms }) => ms))
  t.ok(slowest < 500, `the slowest recall took ${Math.round(slowest)} ms`)
  t.same(await other.ask('names("e")'), [])
  open()
  await creating
  t.same(await other.ask('[os.path.exists("d/mine"), os.path.exists("d/theirs"), names("d")]'), [
    true,
    true,
    ['mine', 'theirs'],
  ])
})

void t.test('when others can see a change of our own, no process here sees what was before it', async (t) => {
  const mount = await mountLeasing(t)
  const { provider } = mount
  const [one, other] = [mount.prober(), mount.prober()]
  await one.ask('os.mkdir("d"); open("d/f", "w").write("text")')
  const look = () => other.ask('[os.path.exists("d/new"), os.stat("d/f").st_mode & 0o777, os.stat("d").st_nlink]')
  await until('a kernel that knows all of it', async () => {
    await look()
    return isInKernel(mount, look)
  })
  for (const { kind, source, seen } of [
    { kind: 'mkdir', source: 'os.mkdir("d/new")', seen: [true, 0o644, 3] },
    { kind: 'setattr', source: 'os.chmod("d/f", 0o600)', seen: [true, 0o600, 3] },
    { kind: 'rmdir', source: 'os.rmdir("d/new")', seen: [false, 0o600, 2] },
  ] as const) {
    const { gate, open, reached } = gateFor(kind)
    provider.answerGate = gate
    const changing = one.ask(source)
    await reached
    const looking = look() // where the kernel holds the directory's lock it has to wait
    const early = await Promise.race([looking, pause(50).then(() => 'waits')])
    if (early !== 'waits') t.same(early, seen, `${kind}, before its answer`)
    open()
    await changing
    t.same(await looking, seen, kind)
  }
  t.same(mount.errors, [])
})

void t.test('a driver that is stopped does not let old pages be read after its leases', async (t) => {
  const mount = await mountLeasing(t)
  const { change, look, probe } = await withCachedFile(mount)
  const read = () => probe.ask('os.pread(fd, 4, 4096).decode()') // pages have no time: nobody is asked
  process.kill(mount.mounted.pid(), 'SIGSTOP')
  const stoppedAt = performance.now()
  t.equal(await read(), 'old ', 'until then it may')
  await until('the end of the leases', () => performance.now() - stoppedAt > 1_700)
  change()
  const reading = read()
  t.equal(await Promise.race([reading, pause(300).then(() => 'waits')]), 'waits')
  process.kill(mount.mounted.pid(), 'SIGCONT')
  t.equal(await reading, 'new ')
  t.same(await look(), now)
})

void t.test('what no heartbeat prolongs is forgotten in time', async (t) => {
  const mount = await mountLeasing(t)
  const { change, look } = await withCachedFile(mount)
  mount.provider.granting = false
  const since = performance.now()
  await until('the end of the leases', () => performance.now() - since > 1_700)
  change()
  t.same(await look(), now)
})

void t.test('what the last stream leased is forgotten before the next one begins', async (t) => {
  const mount = await mountLeasing(t)
  const { change, look } = await withCachedFile(mount)
  let changed = false
  mount.provider.onHello = () => {
    if (!changed) change()
    changed = true
  }
  mount.provider.cut()
  await until('another hello', () => changed)
  t.same(await look(), now)
})

void t.test('the next driver forgets what the last one had before it says hello', async (t) => {
  const mount = await mountLeasing(t)
  const { change, look } = await withCachedFile(mount)
  let changed = false
  mount.provider.onHello = () => {
    if (!changed) change()
    changed = true
  }
  process.kill(mount.mounted.pid(), 'SIGKILL')
  await until('another hello', () => changed)
  t.same(await look(), now)
  t.equal(mount.exits.length, 1)
})

void t.test('a driver that dies while the kernel waits for its answer to drop pages is replaced', async (t) => {
  const mount = await mountLeasing(t)
  const { provider } = mount
  const { ino, look, probe } = await withCachedFile(mount)
  const reader = mount.prober()
  await reader.ask('f = os.open("f", os.O_RDONLY)')
  await until('pages that are gone', async () => {
    await provider.change(calls.write(ino, 'old '))
    return true
  })
  const { gate, open, reached } = gateFor('read')
  provider.gate = gate
  const reading = reader.ask('os.pread(f, 4, 0).decode()')
  await reached
  const changing = provider.change(calls.chmod(ino, 0o600))
  await pause(100) // until the notification waits in the kernel; if it does not, the test is easier
  const pid = mount.mounted.pid()
  process.kill(pid, 'SIGKILL')
  provider.gate = () => undefined
  await until('another driver', () => mount.mounted.pid() !== pid)
  open()
  t.equal(await reading, 'old ')
  await changing
  t.same(await look(), ['old ', 0o600, false])
  t.equal(await probe.ask('os.close(fd)'), null)
})
