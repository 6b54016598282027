import type { Mounted, MountOptions } from '../fs-driver/kernel/supervisor.ts'

/**
 * How a mount speaks to the kernel.
 * - `plain`: the protocol itself, on /dev/fuse; all that a file system can do. Needs root, as mount(2) does.
 * - `fuse-native`: through libfuse and its setuid fusermount, for an ordinary user; it does less.
 */
export const mountDrivers = ['plain', 'fuse-native'] as const

export type MountDriver = (typeof mountDrivers)[number]

/** Mounts, and watches over the driver's process. @throws Error, in a sentence for the user */
export async function supervise(driver: MountDriver, options: MountOptions): Promise<Mounted> {
  if (driver === 'plain') {
    const { superviseMount } = await import('../fs-driver/kernel/supervisor.ts')
    return await superviseMount(options)
  }
  const { superviseNative } = await import('../fs-driver/fuse-native/supervisor.ts')
  return await superviseNative(options)
}
