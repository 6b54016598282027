import path from 'node:path'
import { RestartPause } from '../../fs-driver/restart-pause.ts'
import type { MountConfig } from '../config/host-config.ts'
import { oneLine } from '../failure.ts'
import type { Host } from '../host.ts'
import type { Log } from '../log.ts'
import { mountName } from '../mount-name.ts'
import { clearMountPoint, mountPoint } from '../preflight.ts'
import { MountKeeper } from './mount-keeper.ts'

/** Between the end of a mount that nobody asked for and the next attempt: doubled each time, the first again once it stood. */
const restarts = { firstMs: 500, maxMs: 30_000, healthyMs: 60_000 }

export interface HostMountsOptions {
  readonly host: Host
  readonly log: Log
  /** Asked when a mount has ended by itself. One that somebody unmounted stays so. */
  readonly restart: () => boolean
}

interface Kept {
  readonly keeper: MountKeeper
  startedAt: number
  readonly pause: RestartPause
  timer: NodeJS.Timeout | undefined
}

/** The mounts of a host, as its configuration has them at present. */
export class HostMounts {
  readonly #options: HostMountsOptions
  /** By directory. */
  readonly #kept = new Map<string, Kept>()
  #stopping = false
  /** Ends with the last change that was asked for: they are made one after the other. */
  #changing: Promise<void> = Promise.resolve()

  constructor(options: HostMountsOptions) {
    this.#options = options
  }

  get directories(): readonly string[] {
    return [...this.#kept.keys()]
  }

  /** Mounts all of them, or takes over those that an earlier supervisor left. @throws Failure */
  async start(wanted: readonly MountConfig[]): Promise<void> {
    const started = this.#changing.then(async () => {
      for (const mount of wanted) await this.#begin(mount)
    })
    this.#changing = started.catch(() => {}) // whoever asked gets the error
    await started
  }

  /** What is new is mounted, what is gone is unmounted; what stands in both stays as it is. Never rejects. */
  apply(wanted: readonly MountConfig[]): Promise<void> {
    this.#changing = this.#changing.then(() => this.#change(wanted))
    return this.#changing
  }

  async #change(wanted: readonly MountConfig[]): Promise<void> {
    if (this.#stopping) return
    const { log } = this.#options
    const directories = wanted.map((mount) => path.resolve(mount.path))
    for (const [dir, kept] of this.#kept) {
      if (directories.includes(dir)) continue
      this.#kept.delete(dir)
      clearTimeout(kept.timer)
      await kept.keeper.stop()
      log.info('mount.taken-out', { dir })
    }
    for (const mount of wanted) {
      if (this.#kept.has(path.resolve(mount.path))) continue
      await this.#begin(mount).catch((error: unknown) => {
        this.#kept.delete(path.resolve(mount.path)) // the next change of the file tries again
        log.error('mount.not-added', { dir: mount.path, reason: oneLine(error) })
      })
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(
      [...this.#kept.values()].map(({ keeper, timer }) => {
        clearTimeout(timer)
        return keeper.stop()
      }),
    )
  }

  async #begin({ path: where, provider, readOnly }: MountConfig): Promise<void> {
    const { host, log } = this.#options
    const dir = mountPoint(path.resolve(where))
    const kept: Kept = {
      keeper: new MountKeeper({
        ...{ dir, name: mountName(dir), driver: 'plain', provider, readOnly, host, log },
        onEnd: (end) => this.#ended(kept, end),
      }),
      startedAt: performance.now(),
      pause: new RestartPause(restarts),
      timer: undefined,
    }
    this.#kept.set(path.resolve(where), kept)
    if (!kept.keeper.adopt()) await this.#mount(kept)
  }

  async #mount(kept: Kept): Promise<void> {
    await clearMountPoint(kept.keeper.dir)
    kept.startedAt = performance.now()
    kept.keeper.start()
  }

  #ended(kept: Kept, { reason, unmounted }: { readonly reason: string; readonly unmounted: boolean }): void {
    const { log, restart } = this.#options
    console.error(`The mount at ${kept.keeper.dir} has ended: ${reason}.`)
    if (unmounted || this.#stopping || !restart()) return
    kept.pause.ended(performance.now() - kept.startedAt)
    const again = (): void => {
      this.#mount(kept).catch((error: unknown) => {
        log.error('mount.not-again', { dir: kept.keeper.dir, reason: oneLine(error) })
        later()
      })
    }
    const later = (): void => {
      kept.timer = setTimeout(again, kept.pause.next())
    }
    later()
  }
}
