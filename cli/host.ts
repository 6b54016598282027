import { existsSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type Dial, overUnixSockets } from '../proto/channel.ts'
import { DirectoryClient } from '../server/directory/client.ts'
import type { Directory } from '../server/directory/directory.ts'
import type { EtcdEndpoint } from '../server/directory/etcd/endpoints.ts'
import { seenFrom } from '../server/directory/reachable.ts'
import type { Listener } from '../server/rpc/listener.ts'
import { type HostConfig, type MountConfig, readHostConfig, standardConfigFile } from './config/host-config.ts'
import { hostSettings } from './config/host-settings.ts'
import { endpointsOf } from './etcd/managed-etcd.ts'
import { managedEtcdOf } from './etcd/of-host.ts'
import { Failure } from './failure.ts'
import { type SettingsSource, stateSettings } from './settings.ts'
import { defaultStateFolder, type StateFolder, stateFolder } from './state-folder.ts'
import { dialPlaintext, dialWith } from './tls/dial.ts'
import { type NodeIdentity, readIdentity } from './tls/node-identity.ts'

/** What a command is told: which state folder, or whose configuration. */
export interface Place {
  readonly state?: string
  readonly config?: string
}

/**
 * The host that a command is about: a machine alone, which `banyan up` runs from a state folder, or one of several, which
 * its configuration describes.
 */
export interface Host {
  readonly state: StateFolder
  /** With these another process of ours means the same host. */
  readonly args: readonly string[]
  /** The same for a person, with a space before; empty where it goes without saying. */
  readonly flag: string
  /** What providers and drivers compare, to see whether they are on one machine. */
  readonly name: string
  readonly settings: SettingsSource
  /** One of several hosts; undefined: this machine is all there is. */
  readonly member: Member | undefined
  readonly dial: Dial
  openDirectory(): Promise<OpenDirectory>
}

export interface Member {
  /** As it was when this process began. */
  readonly config: HostConfig
  /** As it was read last. */
  readonly present: () => HostConfig
  readonly identity: NodeIdentity | undefined
  /** For an address on which other hosts may come. */
  readonly listener: (address: string) => Listener
}

export type OpenDirectory = Directory & { close(): void | Promise<void> }

/** `--state` counts, then `--config`, then /etc/banyan/banyan.toml if it is there, then the standard folder. @throws Failure */
export function hostAt(place: Place): Host {
  if (place.config !== undefined) return memberHost(path.resolve(place.config))
  if (place.state === undefined && existsSync(standardConfigFile)) return memberHost(standardConfigFile)
  return loneHost(place.state ?? defaultStateFolder)
}

/** The host of a command that needs its supervisor to run. @throws Failure */
export function runningHost(place: Place): Host {
  const host = hostAt(place)
  if (!existsSync(host.state.socket('up'))) throw notRunning(host)
  return host
}

export function notRunning({ flag, member, state }: Host, cause?: unknown): Failure {
  const command = member === undefined ? 'banyan up' : 'banyan run'
  const other = member === undefined ? 'name the folder of one that runs with --state DIR' : 'look at its unit'
  return new Failure(`no "${command}" runs with the state folder ${state.root}`, {
    meaning: 'There is nobody to ask',
    remedy: `Start it with "${command}${flag}", or ${other}`,
    cause,
  })
}

/** A mount of one of several hosts, as its configuration has it. */
export function configuredMount(host: Host, dir: string): MountConfig | undefined {
  return host.member?.config.mounts.find((mount) => path.resolve(mount.path) === dir)
}

/** One of a machine alone: `banyan up` takes no configuration of several hosts. @throws Failure */
export function loneHost(given: string): Host {
  const state = stateFolder(given)
  return {
    state,
    args: ['--state', state.root],
    flag: state.root === defaultStateFolder && !existsSync(standardConfigFile) ? '' : ` --state ${state.root}`,
    name: os.hostname(),
    settings: stateSettings(state.settingsFile),
    member: undefined,
    dial: overUnixSockets,
    openDirectory: async () => new DirectoryClient(`unix:${state.socket('up')}`),
  }
}

function memberHost(file: string): Host {
  const config = readHostConfig(file)
  const identity = config.tls.kind === 'certificates' ? readIdentity(config.tls.folder, config.node) : undefined
  const dial = identity === undefined ? dialPlaintext : dialWith(identity)
  const state = stateFolder(config.stateFolder)
  const settings = hostSettings(file, config)
  return {
    state,
    args: ['--config', file],
    flag: file === standardConfigFile ? '' : ` --config ${file}`,
    name: config.node,
    settings,
    member: {
      config,
      present: () => settings.present(),
      identity,
      listener: (address) =>
        identity === undefined ? { kind: 'loopback', address } : { kind: 'tls', address, identity },
    },
    dial,
    openDirectory: () => openDirectory(config, { state, dial, identity }),
  }
}

async function openDirectory(
  config: HostConfig,
  { dial, identity, state }: { state: StateFolder; dial: Dial; identity: NodeIdentity | undefined },
): Promise<OpenDirectory> {
  const { directory, node } = config
  switch (directory.kind) {
    case 'embedded': {
      const here = `unix:${state.socket('up')}`
      const address = directory.node === node ? here : `${directory.node}@${directory.address}`
      return asSeenFrom(node, new DirectoryClient(address, dial))
    }
    case 'etcd': {
      const endpoints = directory.endpoints.map((url) => ({ url }))
      return asSeenFrom(node, await etcdAt(endpoints, identity))
    }
    case 'managed-etcd':
      return asSeenFrom(
        node,
        await etcdAt(endpointsOf(managedEtcdOf(config, { port: directory.port, state })), identity),
      )
  }
}

/** What speaks to etcd is loaded by those who have one. */
async function etcdAt(endpoints: readonly EtcdEndpoint[], tls: NodeIdentity | undefined): Promise<OpenDirectory> {
  const { EtcdDirectory } = await import('../server/directory/etcd/etcd.ts')
  return new EtcdDirectory({
    endpoints,
    ...(tls !== undefined && endpoints[0]?.url.startsWith('https:') ? { tls } : {}),
  })
}

function asSeenFrom(host: string, directory: OpenDirectory): OpenDirectory {
  return { ...seenFrom(host, directory), close: () => directory.close() }
}
