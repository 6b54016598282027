import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'

interface Setup {
  checkNode(version: string): void
  stampOf(lockFile: Uint8Array | string, abi: string): string
  stampFile(root: string): string
  reasonToInstall(root: string, abi: string): string | undefined
  lock(file: string): () => void
  missingPackages(isThere: (program: string, debianPackage: string) => boolean): string[]
}

const file = path.resolve('scripts/setup.mjs')
const setup: Setup = await import(file)

/** Runs node to its end. What waits without its event loop hears no signal but SIGKILL. */
function node(args: readonly string[], timeout = 20_000): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, args, { encoding: 'utf8', timeout, killSignal: 'SIGKILL' })
}

function folder(test: Test): string {
  const name = mkdtempSync(path.join(os.tmpdir(), 'banyan-setup-'))
  test.teardown(() => rmSync(name, { recursive: true, force: true }))
  return name
}

void t.test('Node from 20.19 on is taken, older is refused in one line with the remedy', async (t) => {
  for (const version of ['20.19.0', '20.20.2', '21.0.0', '22.1.0', '26.10.0']) setup.checkNode(version)
  for (const version of ['0.12.18', '8.17.0', '18.20.4', '20.18.9']) {
    t.throws(
      () => setup.checkNode(version),
      { message: /^this is Node [^\n]*20\.19[^\n]*Install a newer Node[^\n]*$/ },
      version,
    )
  }
})

void t.test('an old Node gets that line before anything else happens', async (t) => {
  const pretend = `data:text/javascript,Object.defineProperty(process.versions, 'node', { value: '18.12.0' })`
  const { status, stdout, stderr } = node(['--import', pretend, file, 'start'])
  t.equal(status, 1)
  t.equal(stdout, '')
  t.match(stderr, /^banyan: this is Node 18\.12\.0; [^\n]*\n$/)
})

void t.test('packages are installed when the lock file, or Node, is another one than last time', async (t) => {
  const root = folder(t)
  t.throws(() => setup.reasonToInstall(root, 'abi1'), { message: /package-lock\.json is missing.*git checkout/ })
  const lockFile = path.join(root, 'package-lock.json')
  writeFileSync(lockFile, '{"a": 1}')
  t.match(setup.reasonToInstall(root, 'abi1'), /no packages/)
  mkdirSync(path.join(root, 'node_modules'))
  t.match(setup.reasonToInstall(root, 'abi1'), /not finished/)
  writeFileSync(setup.stampFile(root), `${setup.stampOf('{"a": 1}', 'abi1')}\n`)
  t.equal(setup.reasonToInstall(root, 'abi1'), undefined)
  t.match(setup.reasonToInstall(root, 'abi2'), /changed/)
  writeFileSync(lockFile, '{"a": 1}') // the same contents at another time, as in a fresh clone
  t.equal(setup.reasonToInstall(root, 'abi1'), undefined)
  writeFileSync(lockFile, '{"a": 2}')
  t.match(setup.reasonToInstall(root, 'abi1'), /changed/)
})

void t.test('one set-up at a time; the lock of a dead one is taken over', async (t) => {
  const name = path.join(folder(t), 'lock')
  const unlock = setup.lock(name)
  const script = `import(${JSON.stringify(file)}).then((setup) => { setup.lock(${JSON.stringify(name)})(); console.log('had it') })`
  const waits = node(['-e', script], 3000)
  t.equal(waits.signal, 'SIGKILL', 'another process waits while we have it')
  t.match(waits.stderr, new RegExp(`waiting for another set-up \\(process ${process.pid}\\)`))
  unlock()
  t.equal(node(['-e', script]).stdout, 'had it\n')
  const { pid } = node(['-e', '']) // it has ended
  writeFileSync(name, String(pid))
  t.equal(node(['-e', script], 10_000).stdout, 'had it\n')
})

void t.test('Debian packages are named by what is missing', async (t) => {
  t.same(
    setup.missingPackages(() => true),
    [],
  )
  t.same(setup.missingPackages((program) => program !== 'diff' && program !== 'fio').sort(), ['diffutils', 'fio'])
})

void t.test('an unknown mode is one line and a failure', async (t) => {
  const { status, stderr } = node([file, 'dance'])
  t.equal(status, 1)
  t.match(stderr, /^banyan: unknown mode "dance"[^\n]*\n$/)
})
