import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A namespace of the network that stands for a machine. */
export interface LabHost {
  readonly name: string
  readonly address: string
  /** `server`: a file server and a mount; `client`: a mount; `directory`: the service directory and nothing else. */
  readonly kind: 'server' | 'client' | 'directory'
  readonly mounts: boolean
}

/** Neither server nor client: it has the directory, where that is not an etcd of all servers. */
export const directoryHost = 'd'

/** `managed`: an etcd of which every server's host keeps a member; `embedded`: in the supervisor of a host of its own. */
export const directories = ['managed', 'embedded'] as const
export type DirectoryKind = (typeof directories)[number]

/** What is wrong with what one host sends another. */
export interface Fault {
  readonly from: string
  readonly to: string
  /** Of all packets, so many are lost; 100: cut. */
  readonly lossPercent: number
}

/** What a lab is at present. Stands in `lab.json` of its folder, so that every command finds it. */
export interface Plan {
  readonly directory: DirectoryKind
  readonly hosts: readonly LabHost[]
  readonly faults: readonly Fault[]
}

const fileOf = (folder: string): string => join(folder, 'lab.json')

/** @throws Error in a sentence for a person */
export function readPlan(folder: string): Plan {
  try {
    return JSON.parse(readFileSync(fileOf(folder), 'utf8')) as Plan
  } catch (cause) {
    throw new Error(`there is no lab in ${folder}. Make one with "scripts/lab up 3"`, { cause })
  }
}

export function writePlan(folder: string, plan: Plan): void {
  writeFileSync(`${fileOf(folder)}.new`, `${JSON.stringify(plan, undefined, 2)}\n`)
  renameSync(`${fileOf(folder)}.new`, fileOf(folder))
}

/** Servers a, b, c; clients x, y, z; and d for an embedded directory. */
export function newHosts(wanted: {
  readonly servers: number
  readonly clients: number
  readonly serversMount: boolean
  readonly directory: DirectoryKind
}): LabHost[] {
  const { clients, directory, servers, serversMount } = wanted
  const ofDirectory = { name: directoryHost, kind: 'directory' as const, mounts: false }
  const names = (of: string, count: number): string[] => of.slice(0, count).split('')
  return [
    ...names('abcefghij', servers).map((name) => ({ name, kind: 'server' as const, mounts: serversMount })),
    ...names('xyz', clients).map((name) => ({ name, kind: 'client' as const, mounts: true })),
    ...(directory === 'embedded' ? [ofDirectory] : []),
  ].map((host, index) => ({ ...host, address: `10.77.0.${index + 1}` }))
}

/** The faults with those from `from` to `to` taken out, and `next` put in. */
export function withFault(faults: readonly Fault[], next: Fault): Fault[] {
  const others = faults.filter(({ from, to }) => from !== next.from || to !== next.to)
  return next.lossPercent === 0 ? others : [...others, next]
}
