import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { freePortRange } from '../fixtures/free-ports.ts'
import { checkout, programArgs } from '../fixtures/program.ts'
import { mustRun } from '../fixtures/run.ts'
import { type Status, statusShape } from '../fixtures/status.ts'
import { commandLine, memoryOf, mountsBelow, processesNaming, sweep } from '../fixtures/sweep.ts'
import { volumeInPlace } from '../fixtures/volume-in-place.ts'
import { expect, waitFor } from '../fixtures/wait.ts'

// `banyan run`: a host does what its file says, also when the file changes, and when its processes die.

t.setTimeout(300_000)
const limitMs = 60_000
const program = join(checkout, 'build/cli/banyan.js')
const folder = mkdtempSync(join(tmpdir(), 'banyan-test-'))
const [config, state] = [join(folder, 'banyan.toml'), join(folder, 'state')]
const sweeper = spawn(process.execPath, programArgs('sweeper', folder), {
  detached: true,
  stdio: ['pipe', 'ignore', 'inherit'],
})
sweeper.unref()
const port = await freePortRange(2)
const [first, second] = ['first', 'second'].map((name) => join(folder, name)) as [string, string]

/** As it stands in the file from now on. */
function configure({ level = 'info', mounts }: { level?: string; mounts: readonly string[] }): void {
  const lines = [
    ...['[node]', 'name = "solo"', `state = "${state}"`],
    ...['[hosts]', `solo = "127.0.0.1:${port}"`],
    ...['[directory]', 'embedded = "solo"', `port = ${port + 1}`],
    ...['[tls]', 'plaintext = "loopback"', '[volumes.main]', 'mirrors = ["solo"]', '[log]', `level = "${level}"`],
    ...mounts.flatMap((path) => ['[[mounts]]', `path = "${path}"`]),
  ]
  writeFileSync(config, `${lines.join('\n')}\n`)
}

let running: ChildProcess | undefined

async function run(): Promise<void> {
  running = spawn(process.execPath, [program, 'run', '--config', config], { cwd: '/', stdio: 'ignore' })
  await waitFor(async () => (await status()).mounts.length > 0 || undefined, { what: 'a mount', limitMs })
}

async function status(): Promise<Status> {
  const { stdout } = await mustRun(process.execPath, [program, 'status', '--json', '--config', config], { limitMs })
  return statusShape.parse(JSON.parse(stdout))
}

const isMounted = (path: string): boolean => mountsBelow(folder).includes(path)
const log = (): string => readFileSync(join(state, 'log', 'run.log'), 'utf8')
const pidOf = (...words: readonly string[]): number =>
  expect(
    processesNaming(config).find((pid) => words.every((word) => commandLine(pid).split(' ').includes(word))),
    `there is no process of ${words.join(' ')}`,
  )
const ended = (child: ChildProcess): true | undefined =>
  child.exitCode !== null || child.signalCode !== null || undefined
const write = (path: string, text: string): Promise<unknown> =>
  mustRun('sh', ['-c', `echo ${text} > ${path}/${text}; cat ${path}/${text}`], { limitMs })

mkdirSync(state)
t.teardown(() => {
  if (!t.passing()) t.comment(log().slice(-3000))
  sweep(folder)
  sweeper.stdin?.end()
})

void t.test('it serves and mounts what its file says', async () => {
  configure({ mounts: [first] })
  await run()
  await write(first, 'hello')
})

void t.test('a volume that is made while it runs is served, and in its place', async (t) => {
  await mustRun(process.execPath, [program, 'volume', 'create', 'work', '--mirrors', 'solo', '--config', config], {
    limitMs,
  })
  const work = join(first, 'work')
  await volumeInPlace(work)
  await write(work, 'in-it')
  t.match((await status()).volumes, [{ name: 'main' }, { name: 'work', primary: 'solo' }])
})

void t.test(
  'a mount that is put into the file is there, one that is taken out is gone, and a mistake changes nothing',
  async (t) => {
    configure({ mounts: [first, second], level: 'debug' })
    await waitFor(() => isMounted(second) || undefined, { what: 'the second mount', limitMs })
    await write(second, 'there')
    writeFileSync(config, 'mounts = 5')
    await waitFor(() => log().includes('settings.refused') || undefined, { what: 'the refusal', limitMs })
    t.ok(isMounted(first) && isMounted(second))
    configure({ mounts: [first] })
    await waitFor(() => !isMounted(second) || undefined, { what: 'the second mount to be gone', limitMs })
    await write(first, 'still')
  },
)

void t.test('what dies is started again: the file server, and a mount with its driver', async () => {
  const server = pidOf('file-server')
  process.kill(server, 'SIGKILL')
  await waitFor(() => pidOf('file-server') !== server || undefined, { what: 'another file server', limitMs })
  await write(first, 'again')
  const [mount, driver] = [pidOf('mount', first), pidOf('drive', first)]
  for (const pid of [mount, driver]) process.kill(pid, 'SIGKILL')
  await waitFor(() => pidOf('mount', first) !== mount || undefined, { what: 'another mount', limitMs })
  await waitFor(async () => (await status()).mounts[0]?.provider === 'solo' || undefined, {
    what: 'its session',
    limitMs,
  })
  await write(first, 'mounted')
})

void t.test('where the supervisor of a mount dies alone the mount stays, and is taken out as before', async (t) => {
  const [mount, driver] = [pidOf('mount', first), pidOf('drive', first)]
  process.kill(mount, 'SIGKILL')
  await write(first, 'meanwhile')
  await waitFor(() => log().includes(`"pid":${pidOf('mount', first)},"msg":"mount.adopted"`) || undefined, {
    what: 'another supervisor to be found',
    limitMs,
  })
  t.equal(pidOf('drive', first), driver, 'it has the same driver')
  configure({ mounts: [second] })
  await waitFor(() => (!isMounted(first) && isMounted(second)) || undefined, { what: 'another mount', limitMs })
  configure({ mounts: [first] })
  await waitFor(() => (isMounted(first) && !isMounted(second)) || undefined, { what: 'it again', limitMs })
  await write(first, 'back')
})

void t.test('when it is killed the rest goes on, and it finds that again', async (t) => {
  const before = [pidOf('file-server'), pidOf('mount', first)]
  const killed = expect(running, 'it does not run')
  killed.kill('SIGKILL')
  await waitFor(() => ended(killed), { what: 'its end', limitMs })
  await write(first, 'alone')
  await run()
  t.same([pidOf('file-server'), pidOf('mount', first)], before)
})

void t.test('it runs once, and ends with all that it started', async (t) => {
  await t.rejects(mustRun(process.execPath, [program, 'run', '--config', config], { limitMs }), {
    message: /"banyan run" runs already with the state folder/,
  })
  const child = expect(running, 'it does not run')
  child.kill('SIGTERM')
  await waitFor(() => ended(child), { what: 'its end', limitMs })
  t.equal(child.exitCode, 0)
  t.same([mountsBelow(folder), memoryOf(folder), processesNaming(config)], [[], [], []])
})
