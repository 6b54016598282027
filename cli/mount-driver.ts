import type { Heritage } from '../fs-driver/kernel/bond.ts'
import type { Mounted, MountOptions } from '../fs-driver/kernel/supervisor.ts'

/**
 * How a mount speaks to the kernel.
 * - `plain`: the protocol itself, on /dev/fuse; all that a file system can do. Needs root, as mount(2) does.
 * - `fuse-native`: through libfuse and its setuid fusermount, for an ordinary user; it does less.
 */
export const mountDrivers = ['plain', 'fuse-native'] as const

export type MountDriver = (typeof mountDrivers)[number]

/**
 * Mounts, and watches over the driver's process; or watches over the one that has started us for that.
 *
 * @throws Error, in a sentence for the user
 */
export async function supervise(driver: MountDriver, options: MountOptions, heritage?: Heritage): Promise<Mounted> {
  if (driver === 'plain') {
    const { superviseMount, takeOverMount } = await import('../fs-driver/kernel/supervisor.ts')
    return heritage === undefined ? await superviseMount(options) : takeOverMount(options, heritage)
  }
  const { superviseNative } = await import('../fs-driver/fuse-native/supervisor.ts')
  return await superviseNative(options)
}
