import type { DriverState } from '../../fs-driver/driver/driver-state.ts'
import type { AttachedVolume, DrivenVolume } from '../../fs-driver/driver/main.ts'
import { GrpcTransport } from '../../fs-driver/router/grpc-transport.ts'
import { numberedClient, numberedHolds, numberedLeases } from '../../fs-driver/router/numbered-client.ts'
import type { ProviderSource } from '../../fs-driver/router/provider-source.ts'
import { createRouter, type Router, type RouterOptions } from '../../fs-driver/router/router.ts'
import { ExtentFile } from '../../fs-driver/write-behind/extent-file.ts'
import { StepFiles } from '../../fs-driver/write-behind/step-files.ts'
import type { NodeId } from '../../proto/ids.ts'
import { inodeInTree } from '../../proto/volume-number.ts'
import type { Attached } from '../../replication/record.ts'
import type { Directory } from '../../server/directory/directory.ts'
import type { Host } from '../host.ts'
import type { ProcessLog } from '../log.ts'
import { mountFile } from '../mount-name.ts'
import { volumeName } from '../volume.ts'
import { KnownVolumes } from './known-volumes.ts'

export interface MountVolumesOptions {
  readonly host: Host
  readonly directory: Directory
  /** Where it is mounted. */
  readonly dir: string
  /** The process that keeps the mount. */
  readonly owner: number
  /** This server only; of volumes that it does not mirror, whoever does. */
  readonly pinned: NodeId | undefined
  readonly unavailableMs: number
  readonly resend: boolean
  readonly log: ProcessLog
}

type Session = Pick<RouterOptions, 'isOpen' | 'onSessionEnded' | 'leases' | 'holds'>

/** The volumes of one mount, each with its session, and what its driver leaves to the next one. */
export class MountVolumes {
  readonly #options: MountVolumesOptions
  readonly #routers = new Map<string, Router>()

  constructor(options: MountVolumesOptions) {
    this.#options = options
  }

  /** At the root of the tree, alone. */
  router(isOpen: RouterOptions['isOpen']): Router {
    return this.#connect(volumeName, 0, { isOpen })
  }

  /** At the root of the tree. */
  first(open: DriverState): DrivenVolume {
    const isOpen = (ino: bigint): boolean => open.isOpen(ino)
    const onSessionEnded = (): void => open.locks.lose()
    return {
      connect: (leases, holds) => this.#connect(volumeName, 0, { isOpen, onSessionEnded, leases, holds }),
      ...this.#files(0),
    }
  }

  /** Those that are attached in it, now and later. */
  others(open: DriverState): (attach: (volume: AttachedVolume) => void) => void {
    const { dir, directory, host, log, resend } = this.#options
    return (attach) => {
      const known = new KnownVolumes(mountFile(host.state, dir, 'volumes'), { resend })
      const attached = new Set<number>()
      const add = (one: Attached): void => {
        if (attached.has(one.number)) return
        attached.add(one.number)
        known.add(one)
        attach(this.#attached(one, open))
        log.info('volume.attached', { volume: one.volume, number: one.number, at: one.at })
      }
      for (const one of known.left) add(one)
      directory.watch(volumeName, {
        record: ({ record }) => record.attached?.forEach(add),
        death: () => {},
        providers: () => {},
      })
    }
  }

  /** Requests sent to providers, by operation. */
  sent(): Readonly<Record<string, unknown>> {
    const all = [...this.#routers].map(([volume, router]) => [volume, router.sent()] as const)
    return all.length === 1 ? { ...all[0]?.[1] } : Object.fromEntries(all)
  }

  /** The mount is gone: so are its sessions. */
  async end(): Promise<void> {
    await Promise.all([...this.#routers.values()].map((router) => router.end()))
  }

  #attached({ name, number, parent, volume }: Attached, open: DriverState): AttachedVolume {
    const isOpen = (ino: bigint): boolean => open.isOpen(inodeInTree(number, ino))
    const onSessionEnded = (): void => open.locks.lose(number)
    return {
      number,
      parent,
      name: Buffer.from(name),
      connect: (leases, holds) => {
        const told = { leases: numberedLeases(number, leases), holds: numberedHolds(number, holds) }
        return numberedClient(number, this.#connect(volume, number, { isOpen, onSessionEnded, ...told }))
      },
      ...this.#files(number),
    }
  }

  #files(number: number): Pick<DrivenVolume, 'extentFile' | 'stepFiles'> {
    const { dir, host, resend } = this.#options
    return {
      extentFile: new ExtentFile(mountFile(host.state, dir, 'writes', number), { resend }),
      stepFiles: new StepFiles(mountFile(host.state, dir, 'steps', number), { resend }),
    }
  }

  #connect(volume: string, number: number, session: Session): Router {
    const { dir, host, log, owner, pinned, unavailableMs } = this.#options
    const router = createRouter({
      ...session,
      providers: this.#providers(volume),
      ...(pinned !== undefined && number === 0 && { pinned }),
      host: host.name,
      path: dir,
      pid: owner,
      slotFile: mountFile(host.state, dir, 'slots', number),
      unavailableMs,
      transport: new GrpcTransport(host.dial, volume),
      log: (event, fields) => log.info(event, number === 0 ? fields : { ...fields, volume }),
    })
    this.#routers.set(volume, router)
    return router
  }

  #providers(volume: string): ProviderSource {
    const { directory, pinned } = this.#options
    return {
      watch: (onChange) =>
        directory.watch(volume, {
          record: () => {},
          death: () => {},
          providers: (adverts) => {
            const asked = adverts.filter(({ node }) => node === pinned)
            onChange(volume === volumeName || asked.length === 0 ? adverts : asked)
          },
        }),
    }
  }
}
