import { readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { mustRun } from '../../test/fixtures/run.ts'
import type { Fault, LabHost } from './plan.ts'

/**
 * Namespaces of the network, each held by a mount in the lab's folder: when that is unmounted and nobody runs in it any
 * more, the kernel takes it away with all its links. So nothing of a lab is anywhere but below its folder.
 */
export const namespaceFile = (folder: string, name: string): string => join(folder, 'net', name)

/** The program and the arguments with which it runs a command in a host's namespace. */
export const nsenter = 'nsenter'
export const inNamespace = (folder: string, name: string, command: readonly string[]): readonly string[] => [
  `--net=${namespaceFile(folder, name)}`,
  '--',
  ...command,
]

/** No host has this name: it is a bridge between all of them. */
const hub = 'hub'

async function inside(folder: string, name: string, ...command: readonly string[]): Promise<void> {
  await mustRun(nsenter, inNamespace(folder, name, command), { limitMs: 20_000 })
}

async function makeNamespace(folder: string, name: string): Promise<void> {
  writeFileSync(namespaceFile(folder, name), '')
  await mustRun('unshare', [`--net=${namespaceFile(folder, name)}`, 'true'], { limitMs: 20_000 })
  await inside(folder, name, 'ip', 'link', 'set', 'lo', 'up')
}

/** All hosts, joined by one bridge. There is no way out of this network, and none in. */
export async function makeNetwork(folder: string, hosts: readonly LabHost[]): Promise<void> {
  await makeNamespace(folder, hub)
  await inside(folder, hub, 'ip', 'link', 'add', 'bridge', 'type', 'bridge', 'mcast_snooping', '0')
  await inside(folder, hub, 'ip', 'link', 'set', 'bridge', 'up')
  for (const { address, name } of hosts) {
    await makeNamespace(folder, name)
    const peer = ['peer', 'name', 'eth0', 'netns', namespaceFile(folder, name)]
    await inside(folder, hub, 'ip', 'link', 'add', `to-${name}`, 'type', 'veth', ...peer)
    await inside(folder, hub, 'ip', 'link', 'set', `to-${name}`, 'master', 'bridge', 'up')
    await inside(folder, name, 'ip', 'address', 'add', `${address}/24`, 'dev', 'eth0')
    await setLink(folder, name, 'up')
  }
}

export async function setLink(folder: string, name: string, state: 'up' | 'down'): Promise<void> {
  await inside(folder, name, 'ip', 'link', 'set', 'eth0', state)
}

/** What arrives at each host is lost as the faults say: one-way, and the sender hears nothing of it. */
export async function applyFaults(folder: string, hosts: readonly LabHost[], faults: readonly Fault[]): Promise<void> {
  for (const { name } of hosts) {
    const rules = faults.flatMap((fault) => {
      const from = hosts.find((host) => host.name === fault.from)
      if (fault.to !== name || from === undefined) return []
      const chance = fault.lossPercent >= 100 ? '' : ` numgen random mod 100 < ${fault.lossPercent}`
      return [`    ip saddr ${from.address}${chance} drop`]
    })
    const chain = ['  chain arriving {', '    type filter hook input priority 0', ...rules, '  }']
    // Replaced as one: there is no moment without rules. A table must be there to be deleted.
    const text = ['table inet lab', 'delete table inet lab', 'table inet lab {', ...chain, '}', ''].join('\n')
    await mustRun(nsenter, inNamespace(folder, name, ['nft', '-f', '-']), { input: text, limitMs: 20_000 })
  }
}

/** All processes that run in a host's namespace. */
export function processesIn(folder: string, name: string): number[] {
  let wanted: number
  try {
    wanted = statSync(namespaceFile(folder, name)).ino
  } catch {
    return [] // it is not there any more
  }
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && namespaceOf(entry) === `net:[${wanted}]`)
    .map(Number)
}

function namespaceOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch {
    return '' // it has ended meanwhile
  }
}
