// Brings a fresh clone to where it can run, then runs what was asked for: `node scripts/setup.mjs start|test|...`.
// Plain JavaScript without dependencies, in syntax that an old Node parses, so that it can say that Node is too old.
// What is already there is not done again: see stampOf().
import childProcess from 'child_process'
import crypto from 'crypto'
import fs from 'fs'
import os from 'os'
import path from 'path'
import url from 'url'

/** What each mode runs once everything is built. */
const programs = {
  start: ['build/cli/banyan.js', 'up'],
  test: ['build/scripts/test.js'],
  check: ['build/scripts/check.js'],
  simulate: ['build/scripts/simulate.js'],
  soak: ['build/scripts/soak.js'],
  bench: ['build/scripts/bench.js'],
  posix: ['build/scripts/posix.js'],
  lab: ['build/scripts/lab.js'],
  build: undefined,
}

/** Programs that the tests use, and the Debian package that has each. */
export const testPackages = {
  git: 'git',
  sqlite3: 'sqlite3',
  fio: 'fio',
  rsync: 'rsync',
  gcc: 'gcc',
  'libc6-dev': 'libc6-dev',
  make: 'make',
  tar: 'tar',
  diff: 'diffutils',
  mount: 'mount',
  'mkfs.ext4': 'e2fsprogs',
  ps: 'procps',
  python3: 'python3',
  fusermount: 'fuse3',
  libfuse2: 'libfuse2',
  'vim.tiny': 'vim-tiny',
  postgresql: 'postgresql',
  nft: 'nftables',
  ip: 'iproute2',
  nsenter: 'util-linux',
  openssl: 'openssl',
  etcd: 'etcd-server',
  faketime: 'faketime',
}

/** Of these, what scripts/lab needs. */
const labPrograms = ['nft', 'ip', 'nsenter', 'openssl', 'etcd']

const oldestNode = [20, 19]
const lockWaitMs = 15 * 60 * 1000
const lockPollMs = 250

/** A reason that set-up ends, in one line with its remedy. */
export class SetupError extends Error {}

/** Throws unless this version of Node runs Banyan. */
export function checkNode(version) {
  const parts = version.split('.').map(Number)
  if (parts[0] > oldestNode[0] || (parts[0] === oldestNode[0] && parts[1] >= oldestNode[1])) return
  throw new SetupError(
    'this is Node ' +
      version +
      '; Banyan needs ' +
      oldestNode.join('.') +
      ' or newer, so nothing was set up. Install a newer Node (https://nodejs.org, or "nvm install 20"), then run this again.',
  )
}

/** What an installation depends on. Contents, not times: a fresh clone makes all times new. */
export function stampOf(lockFile, abi) {
  return crypto
    .createHash('sha256')
    .update(lockFile)
    .update('\n' + abi + '\n')
    .digest('hex')
}

/** Why packages must be installed; undefined when they are as the lock file wants them. */
export function reasonToInstall(root, abi) {
  const lockFile = path.join(root, 'package-lock.json')
  if (!fs.existsSync(lockFile)) {
    throw new SetupError(
      'package-lock.json is missing, so the packages are unknown. Run "git checkout package-lock.json".',
    )
  }
  const modules = path.join(root, 'node_modules')
  if (!fs.existsSync(modules)) return 'no packages are installed yet'
  let stamp = ''
  try {
    stamp = fs.readFileSync(stampFile(root), 'utf8')
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
    return 'an installation was not finished'
  }
  return stamp.trim() === stampOf(fs.readFileSync(lockFile), abi) ? undefined : 'package-lock.json or Node has changed'
}

export function stampFile(root) {
  return path.join(root, 'node_modules', '.banyan-setup')
}

export function thisAbi() {
  return process.platform + '-' + process.arch + '-' + process.versions.modules
}

/** Installs and compiles what is missing. One set-up at a time: others wait for it. */
export function prepare(root) {
  checkNode(process.versions.node)
  const unlock = lock(path.join(root, '.setup.lock'))
  try {
    const reason = reasonToInstall(root, thisAbi())
    if (reason !== undefined) install(root, reason)
    compile(root)
  } finally {
    unlock()
  }
}

function install(root, reason) {
  say('set-up: installing packages (' + reason + ')')
  const npm = process.env.npm_execpath
  const command = npm && /\.c?js$/.test(npm) ? [process.execPath, npm] : ['npm']
  fs.rmSync(stampFile(root), { force: true })
  must(
    root,
    command.concat(['ci', '--no-audit', '--no-fund']),
    'npm could not install the packages',
    'Look at its message above; mostly the network or a proxy is the reason. Then run this again.',
  )
  must(
    root,
    [process.execPath, 'node_modules/tap/dist/esm/run.mjs', 'build'],
    'the test runner could not be built',
    'Run "npx tap build" and look at its message.',
    true,
  )
  linkBanyan(root)
  fs.writeFileSync(stampFile(root), stampOf(fs.readFileSync(path.join(root, 'package-lock.json')), thisAbi()) + '\n')
}

/** Makes `npx banyan` find this checkout's program without asking a registry. */
function linkBanyan(root) {
  const link = path.join(root, 'node_modules', '.bin', 'banyan')
  fs.rmSync(link, { force: true })
  fs.symlinkSync('../../scripts/banyan.mjs', link)
}

function compile(root) {
  must(
    root,
    [process.execPath, 'node_modules/typescript/bin/tsc', '-p', '.'],
    'the sources do not compile',
    'tsc says above where; if you changed nothing, run "git status" and "rm -r build".',
  )
  // Reflection reads the .proto files at run time: they belong beside the compiled code.
  const from = path.join(root, 'proto')
  const to = path.join(root, 'build', 'proto')
  fs.mkdirSync(to, { recursive: true })
  fs.readdirSync(from)
    .filter((name) => name.endsWith('.proto'))
    .forEach((name) => fs.copyFileSync(path.join(from, name), path.join(to, name)))
}

/** Runs a command to its end. `quiet`: its output is shown only when it fails. */
function must(root, command, failure, remedy, quiet) {
  const result = childProcess.spawnSync(command[0], command.slice(1), {
    cwd: root,
    stdio: quiet ? 'pipe' : ['ignore', 'inherit', 'inherit'],
  })
  if (result.status === 0) return
  if (quiet) process.stderr.write(String(result.stdout) + String(result.stderr))
  throw new SetupError(failure + (result.error ? ' (' + result.error.message + ')' : '') + '. ' + remedy)
}

/** Takes the lock file, or waits while the process named in it lives. Returns the function that gives it back. */
export function lock(file) {
  const until = Date.now() + lockWaitMs
  let told = false
  for (;;) {
    try {
      fs.writeFileSync(file, String(process.pid), { flag: 'wx' })
      return () => fs.rmSync(file, { force: true })
    } catch (error) {
      if (error.code === 'EACCES' || error.code === 'EROFS') {
        throw new SetupError(
          'cannot write into ' +
            path.dirname(file) +
            ', so nothing could be set up. Run this as the owner of the checkout.',
        )
      }
      if (error.code !== 'EEXIST') throw error
    }
    const holder = holderOf(file)
    if (holder !== undefined && !isAlive(holder)) {
      // Renamed first, so that of two waiting set-ups only one takes a dead one's lock away.
      const aside = file + '.' + process.pid
      try {
        fs.renameSync(file, aside)
        if (Number(fs.readFileSync(aside, 'utf8')) === holder) fs.rmSync(aside)
        else fs.renameSync(aside, file)
      } catch (error) {
        if (error.code !== 'ENOENT') throw error
      }
      continue
    }
    if (Date.now() > until) {
      throw new SetupError(
        'another set-up (process ' + holder + ') holds ' + file + ' for too long. End it, then run this again.',
      )
    }
    if (!told) say('set-up: waiting for another set-up (process ' + holder + ')')
    told = true
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lockPollMs)
  }
}

/** The process in the lock file; undefined while it is being written or when it is gone. */
function holderOf(file) {
  try {
    const pid = Number(fs.readFileSync(file, 'utf8'))
    return pid > 0 ? pid : undefined
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** Which Debian packages the tests miss here. */
export function missingPackages(isThere) {
  return Object.keys(testPackages)
    .filter((program) => !isThere(program, testPackages[program]))
    .map((program) => testPackages[program])
}

function isInstalled(program, debianPackage) {
  const places = (process.env.PATH || '').split(':').concat(['/usr/sbin', '/sbin'])
  if (places.some((place) => place !== '' && fs.existsSync(path.join(place, program)))) return true
  const query = childProcess.spawnSync('dpkg-query', ['-W', '-f=${db:Status-Status}', debianPackage], {
    encoding: 'utf8',
  })
  return query.status === 0 && query.stdout === 'installed'
}

/** A lab mounts and makes namespaces. */
function prepareForLab() {
  if (process.getuid() !== 0) {
    throw new SetupError('a lab makes network namespaces, which only root may, so nothing was done. Run it with sudo.')
  }
  const missing = labPrograms.filter((program) => !isInstalled(program, testPackages[program]))
  if (missing.length > 0) installPackages(missing.map((program) => testPackages[program]))
}

/** Everything the tests need of the machine. Single test files outside test/mount and test/lab run anywhere. */
function prepareForTests(root, args) {
  const files = args.filter((arg) => !arg.startsWith('-'))
  const below = (folder) => (file) => path.resolve(root, file).startsWith(path.join(root, 'test', folder))
  if (files.length > 0 && !files.some(below('mount')) && !files.some(below('lab'))) return
  if (process.getuid() !== 0) {
    throw new SetupError(
      'the tests mount file systems, which only root may, so none was run. Run "sudo npm test", or name tests that need no mount: "npm test -- test/replication".',
    )
  }
  if (!fs.existsSync('/dev/fuse')) {
    throw new SetupError(
      '/dev/fuse is missing, so the mount tests cannot run and none was run. Run "sudo modprobe fuse" (in a container: start it with --device /dev/fuse).',
    )
  }
  const missing = missingPackages(isInstalled)
  if (missing.length > 0) installPackages(missing)
}

function installPackages(missing) {
  const names = missing.join(' ')
  const refused = 'programs are missing here that this uses: ' + names + '. '
  if (childProcess.spawnSync('apt-get', ['--version']).status !== 0) {
    throw new SetupError(
      refused + "There is no apt-get to install them with: install them in this system's way, then run this again.",
    )
  }
  say('set-up: installing Debian packages: ' + names)
  const policy = '/usr/sbin/policy-rc.d' // asked by packages before they start a service; 101 forbids it
  const ours = !fs.existsSync(policy)
  if (ours) fs.writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    const apt = (args) =>
      childProcess.spawnSync('apt-get', ['-qq', '-o', 'DPkg::Lock::Timeout=120'].concat(args), {
        stdio: ['ignore', 'ignore', 'inherit'],
        env: Object.assign({}, process.env, { DEBIAN_FRONTEND: 'noninteractive' }),
      }).status === 0
    const install = ['install', '-y', '--no-install-recommends'].concat(missing)
    if (!apt(install.concat(['--no-download'])) && !(apt(['update']) && apt(install))) {
      throw new SetupError(
        refused + 'apt-get could not install them. Run "apt-get install ' + names + '" and look at its message.',
      )
    }
  } finally {
    if (ours) fs.rmSync(policy, { force: true })
  }
}

/** Runs the program of a mode and ends as it ended. Signals sent to us only are passed on to it. */
function run(root, program, args) {
  const child = childProcess.spawn(process.execPath, [path.join(root, program[0])].concat(program.slice(1), args), {
    stdio: 'inherit',
    env: Object.assign({}, process.env, { UV_THREADPOOL_SIZE: process.env.UV_THREADPOOL_SIZE || '8' }),
  })
  // Ctrl-C reaches the child by itself, as a member of the terminal's foreground group; it decides when to end.
  process.on('SIGINT', () => {})
  const passOn = (signal) => process.on(signal, () => child.kill(signal))
  passOn('SIGTERM')
  passOn('SIGHUP')
  child.on('exit', (code, signal) => {
    process.exitCode = signal ? 128 + os.constants.signals[signal] : code
    process.removeAllListeners('SIGTERM')
  })
}

function say(line) {
  process.stderr.write(line + '\n')
}

function main(argv) {
  const root = path.resolve(path.dirname(url.fileURLToPath(import.meta.url)), '..')
  const mode = argv[0]
  try {
    checkNode(process.versions.node)
    if (!Object.prototype.hasOwnProperty.call(programs, mode)) {
      throw new SetupError('unknown mode "' + mode + '": use one of ' + Object.keys(programs).join(', ') + '.')
    }
    if (mode === 'test') prepareForTests(root, argv.slice(1))
    if (mode === 'lab') prepareForLab()
    if (mode === 'soak' || mode === 'bench') prepareForTests(root, [])
    prepare(root)
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    say('banyan: ' + error.message)
    process.exitCode = 1
    return
  }
  if (programs[mode] !== undefined) run(root, programs[mode], argv.slice(1))
}

if (process.argv[1] && fs.realpathSync(process.argv[1]) === fs.realpathSync(url.fileURLToPath(import.meta.url))) {
  main(process.argv.slice(2))
}
