import { readMountTable } from '../../fs-driver/kernel/mount-table.ts'
import { withControl } from '../control-client.ts'
import { type Place, runningHost } from '../host.ts'

export interface ServerCommand extends Place {
  readonly name: string
}

/** Resolves when the server offers itself to clients; it gets in sync by itself. @throws Failure */
export async function startServer({ name, ...place }: ServerCommand): Promise<void> {
  const server = await withControl(runningHost(place), (control) => control.startServer(name))
  console.log(`${name} runs (process ${server?.pid}).`)
}

/** Resolves when its process has ended. @throws Failure */
export async function stopServer({ name, ...place }: ServerCommand): Promise<void> {
  await withControl(runningHost(place), (control) => control.stopServer(name))
  console.log(`${name} is stopped.`)
}

/** Resolves when the mount of `up` is gone and all its servers have stopped. @throws Failure */
export async function down(place: Place): Promise<void> {
  const others = await withControl(runningHost(place), async (control) => {
    const { mounts } = await control.state()
    await control.down()
    return mounts
  })
  console.log('Unmounted, and all servers are stopped.')
  const mounted = new Set(readMountTable().map((mount) => mount.path)) // a process id may linger, or be another's by now
  for (const { path, pid } of others.filter((mount) => mounted.has(mount.path))) {
    console.log(
      `Still mounted at ${path}: it waits for the servers to come back. "umount ${path}" ends it (process ${pid}).`,
    )
  }
}
