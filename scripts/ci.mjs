// Runs `npm test` as the README gives it and sees that nothing is left of it afterwards: no
// mount, process, network namespace, loop device or temporary file. What is left is removed and counts as a failure.
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, chmodSync, constants, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

/** On two idle cores it takes about 25 minutes (docs/test-times.md); a busy machine still gets its answer. */
const limitMs = 80 * 60 * 1000
/** What remains of the limit for cleaning up. */
const cleaningMs = 30 * 1000
/** Caches of programs that the tests use; they are no test's. */
const caches = /^(tsx-\d+|node-compile-cache|v8-compile-cache-\d+|npm-.*)$/

const mark = `BANYAN_CI_RUN=${process.pid}-${Date.now()}`

/** Why the tests cannot all run here; undefined when they can. Nothing is skipped: what cannot run has failed. */
function obstacle() {
  if (process.getuid?.() !== 0) return 'the mount tests need root: run this with sudo'
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
  } catch {
    return '/dev/fuse is missing or closed to us: run "modprobe fuse" (in a container: --device /dev/fuse)'
  }
  return undefined
}

const lines = (text) => text.split('\n').filter((line) => line !== '')
const unescaped = (text) => text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)))

const isBelow = (file, folders) => folders.some((folder) => file.startsWith(`${folder}/`))

/** Ours are those in the run's own folders and at the standard place: others' may have come meanwhile. */
function mounts(folders) {
  return lines(readFileSync('/proc/self/mountinfo', 'utf8'))
    .map((line) => line.split(' '))
    .map((fields) => unescaped(fields[4]))
    .filter((dir) => isBelow(dir, folders) || dir === '/cluster')
}

const namespaces = () =>
  existsSync('/run/netns') ? readdirSync('/run/netns').filter((name) => name.startsWith('banyan')) : []

/** Loop devices over a file of this run. */
const loops = (folders) =>
  readdirSync('/sys/block').filter((name) => {
    try {
      return isBelow(readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8'), folders)
    } catch {
      return false // not a loop device, or not in use
    }
  })

/** What clusters of this run keep in memory: each folder names the state folder that it belongs to. */
const memoryFolders = (folders) =>
  (existsSync('/dev/shm') ? readdirSync('/dev/shm') : [])
    .filter((name) => name.startsWith('banyan-'))
    .map((name) => path.join('/dev/shm', name))
    .filter((folder) => {
      try {
        return isBelow(readFileSync(path.join(folder, 'state'), 'utf8'), folders)
      } catch {
        return false // another one's, or gone meanwhile
      }
    })

/** Everything that this run started, whatever became of its parents: the mark is in its environment. */
function processes() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(mark)
      } catch {
        return false // it ended meanwhile
      }
    })
    .map(Number)
}

function commandOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
  } catch {
    return '(gone)'
  }
}

/** Removes what is there now and was not `before`; says what it was. */
async function removeLeftovers(before, folders) {
  const found = []
  for (const pid of processes()) {
    const command = commandOf(pid)
    if (command === '') continue // a zombie: its parent's, which is found too if it is ours
    found.push(`process ${pid}: ${command}`)
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // it ended by itself
    }
  }
  for (const dir of mounts(folders).reverse()) {
    if (before.mounts.has(dir)) continue
    found.push(`mount ${dir}`)
    spawnSync('umount', ['-l', dir], { timeout: 5000 })
  }
  for (const name of loops(folders)) {
    found.push(`loop device ${name}`)
    spawnSync('losetup', ['-d', `/dev/${name}`], { timeout: 5000 })
  }
  for (const name of namespaces()) {
    if (before.namespaces.has(name)) continue
    found.push(`network namespace ${name}`)
    spawnSync('ip', ['netns', 'delete', name], { timeout: 5000 })
  }
  for (const folder of memoryFolders(folders)) {
    found.push(`files in memory ${folder}`)
    rmSync(folder, { recursive: true, force: true })
  }
  for (const folder of folders) {
    for (const name of readdirSync(folder)) {
      if (!caches.test(name)) found.push(`temporary file ${path.join(folder, name)}`)
    }
    try {
      rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
    } catch (error) {
      found.push(`${folder}, which cannot be removed: ${error.message}`)
    }
  }
  return found
}

/** Runs npm test; ends it, and all it started, when the time is over. */
async function runTests({ scratch, memory, report }) {
  const [name, value] = mark.split('=')
  const child = spawn('npm', ['test'], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, [name]: value, TMPDIR: scratch, BANYAN_TEST_MEMORY: memory, BANYAN_TEST_REPORT: report },
  })
  let late = false
  const end = () => {
    for (const pid of processes()) process.kill(pid, 'SIGKILL')
  }
  // Who ends us wants nothing to be left either.
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, end)
  const timer = setTimeout(() => {
    late = true
    end()
  }, limitMs - cleaningMs)
  const code = await new Promise((resolve) => {
    child.on('error', () => resolve(127))
    child.on('close', (exit) => resolve(exit ?? 1))
  })
  clearTimeout(timer)
  return { code, late }
}

function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

async function main() {
  const reason = obstacle()
  if (reason !== undefined) {
    console.error(`ci: ${reason}`)
    return { passed: 0, failed: 1 }
  }
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'banyan-ci-'))
  chmodSync(scratch, 0o711) // other users, whom some tests play, come through
  const memory = mkdtempSync(path.join(existsSync('/dev/shm') ? '/dev/shm' : scratch, 'banyan-ci-'))
  const folders = [memory, scratch]
  const before = { mounts: new Set(mounts(folders)), namespaces: new Set(namespaces()) }
  const report = path.join(scratch, 'npm-report.json')
  const { code, late } = await runTests({ scratch, memory, report })
  const counted = readReport(report)
  const leftovers = await removeLeftovers(before, folders)
  for (const left of leftovers) console.error(`ci: left behind, and removed: ${left}`)
  if (late) console.error(`ci: the limit of ${limitMs / 60000} minutes is over; everything was ended`)
  if (counted === undefined) console.error('ci: npm test did not come to its end')
  const passed = counted?.passed ?? 0
  const failed = (counted?.failed ?? 0) + leftovers.length
  return { passed, failed: failed === 0 && (code !== 0 || late || counted === undefined || passed === 0) ? 1 : failed }
}

const { passed, failed } = await main()
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
