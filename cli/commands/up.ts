import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import path from 'node:path'
import { Failure, oneLine } from '../failure.ts'
import { type Host, loneHost } from '../host.ts'
import { openLog, type ProcessLog } from '../log.ts'
import type { MountDriver } from '../mount-driver.ts'
import { clearMountPoint, mountPoint, mustBeAbleToMount } from '../preflight.ts'
import { banyanArgs } from '../program.ts'
import type { Settings } from '../settings.ts'
import { defaultStateFolder, prepareStateFolder } from '../state-folder.ts'
import { MountKeeper } from '../up/mount-keeper.ts'
import { membersOf, openOwnDirectory } from '../up/own-directory.ts'
import { Up } from '../up/up.ts'
import { volumeName } from '../volume.ts'
import { type SettingsWatch, watchSettings } from '../watch-settings.ts'

export interface UpCommand {
  readonly state?: string
  readonly mirrors: number | undefined
  readonly mount: string | undefined
  readonly driver: MountDriver
  readonly restart: boolean
  readonly detach: boolean
}

/** What `up --detach` hears from the `up` that it started. */
type Word = { readonly ready: string } | { readonly failed: string }

/** Resolves when everything has ended again; with `detach`, when everything runs. @throws Failure */
export async function up(command: UpCommand): Promise<void> {
  const host = loneHost(command.state ?? defaultStateFolder)
  const settings = host.settings.read()
  mustBeAbleToMount(command.mount ?? settings.mount.path, command.driver)
  prepareStateFolder(host.state)
  if (command.detach) return await detach(command, host)
  const run = new Run(command, host, settings)
  try {
    const summary = await run.start()
    tell({ ready: summary })
  } catch (error) {
    await run.end()
    await run.ended
    tell({ failed: oneLine(error) })
    throw error
  }
  await run.ended
}

/** Starts another `up` in the background, and reports as it does. */
async function detach(command: UpCommand, { state }: Host): Promise<void> {
  const { mirrors, mount, driver, restart } = command
  const args = ['up', '--state', state.root, '--driver', driver]
  if (mirrors !== undefined) args.push('--mirrors', String(mirrors))
  if (mount !== undefined) args.push('--mount', path.resolve(mount)) // the other runs in /
  if (restart) args.push('--restart')
  const output = openSync(state.log('up').replace(/\.log$/, '.out'), 'a', 0o600)
  const child: ChildProcess = spawn(process.execPath, banyanArgs(...args), {
    detached: true,
    cwd: '/',
    stdio: ['ignore', output, output, 'ipc'],
  })
  closeSync(output)
  const word = await new Promise<Word>((resolve) => {
    child.once('message', (message) => resolve(message as Word))
    child.once('exit', (code) => resolve({ failed: `banyan up ended at once, with exit code ${code}` }))
    child.once('error', (error) => resolve({ failed: error.message }))
  })
  child.removeAllListeners('exit')
  if (child.connected) child.disconnect()
  child.unref()
  if ('failed' in word) throw new Failure(word.failed)
  console.log(`${word.ready}\nIn the background, process ${child.pid}: "banyan down" ends it.`)
}

/** To the terminal, or to the `up --detach` that waits. */
function tell(word: Word): void {
  if (process.send !== undefined && process.connected) process.send(word, () => process.disconnect?.())
  else if ('ready' in word) console.log(`${word.ready}\nCtrl-C, or "banyan down", unmounts and stops everything.`)
}

/** One run of `up`, from its start to its end. */
class Run {
  readonly ended: Promise<void>
  readonly #command: UpCommand
  readonly #host: Host
  readonly #log: ProcessLog
  readonly #mount: MountKeeper
  readonly #dir: string
  #settings: Settings
  #watch: SettingsWatch | undefined
  #up: Up | undefined
  #ending: Promise<void> | undefined
  #mountEnd = ''
  #ready = false
  #onEnd: () => void = () => {}

  constructor(command: UpCommand, host: Host, settings: Settings) {
    this.#command = command
    this.#host = host
    this.#settings = settings
    this.#log = openLog(host.state.log('up'), 'up', settings.log.level)
    this.#dir = mountPoint(command.mount ?? settings.mount.path)
    this.#mount = new MountKeeper({
      dir: this.#dir,
      name: 'mount',
      driver: command.driver,
      host,
      log: this.#log,
      onEnd: ({ reason }) => this.#mountEnded(reason),
    })
    this.ended = new Promise((resolve) => {
      this.#onEnd = resolve
    })
  }

  /** @returns what was started, for a person. @throws Failure; then `end` is to be called */
  async start(): Promise<string> {
    const { mirrors, restart } = this.#command
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void this.end())
    this.#watch = watchSettings(this.#host.settings, this.#log, (next) => {
      this.#settings = next
      this.#log.setLevel(next.log.level)
    })
    const directory = await openOwnDirectory(this.#host)
    const servers = await membersOf(directory, { root: this.#host.state.root, mirrors }).catch(
      async (error: unknown) => {
        await directory.close()
        throw error
      },
    )
    this.#up = await Up.start({
      host: this.#host,
      log: this.#log,
      directory,
      offersDirectory: { listeners: [] },
      servers,
      everyMember: true,
      restart: () => restart || this.#settings.servers.restart,
      onDown: () => this.end(),
    })
    if (!this.#mount.adopt()) {
      await clearMountPoint(this.#dir)
      this.#mount.start()
    }
    await this.#up.serving(() => {
      console.error(`Waiting for a primary. "banyan status${this.#host.flag}" says who is missing.`)
    })
    await this.#up.settled()
    if (!(await this.#up.mounted(() => this.#mount.pid))) {
      throw new Failure(
        this.#ending === undefined ? this.#mountEnd.replace(/^.*?banyan: /, '') : 'ended before it was ready',
      )
    }
    this.#ready = true
    this.#log.info('up.ready', { mount: this.#dir })
    return this.#summary(this.#up)
  }

  /** Unmounts, stops the servers, ends. May be called again meanwhile. Never rejects. */
  end(): Promise<void> {
    this.#ending ??= this.#end()
    return this.#ending
  }

  async #end(): Promise<void> {
    this.#log.info('up.ending')
    try {
      await this.#mount.stop()
      await this.#up?.stop()
    } catch (error) {
      this.#log.error('up.ended-badly', { error })
      process.exitCode = 1
    }
    // Whoever asked for the end gets the answer on a connection that `close` ends, so that is not waited for.
    setImmediate(() => void this.#close())
  }

  async #close(): Promise<void> {
    await this.#up?.close()
    await this.#watch?.close()
    this.#log.info('up.ended')
    this.#onEnd()
  }

  #mountEnded(reason: string): void {
    this.#mountEnd = reason
    this.#up?.poke()
    if (this.#ready) console.error(`The mount at ${this.#dir} has ended: ${reason}.`)
  }

  #summary(running: Up): string {
    const { servers, mounts } = running.state()
    const roles = running.roles()
    const lines = servers.map(({ name, pid, reason }) =>
      pid === 0
        ? `  ${name}  ended: ${reason}`
        : `  ${name}  ${(roles.get(name) ?? 'starting').padEnd(8)} process ${pid}`,
    )
    return [
      `banyan is up: volume ${volumeName} on ${servers.length} mirrored file servers, state in ${this.#host.state.root}`,
      ...lines,
      ...mounts.map(({ path, pid }) => `Mounted at ${path} (process ${pid}).`),
      `Look next at "banyan status${this.#host.flag}"; logs are in ${this.#host.state.root}/log.`,
    ].join('\n')
  }
}
