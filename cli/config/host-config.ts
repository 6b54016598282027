import path from 'node:path'
import { z } from 'zod'
import { type NodeId, nodeId } from '../../proto/ids.ts'
import { Failure } from '../failure.ts'
import { logLevels } from '../settings.ts'
import { formatAddress, isLoopback, parseAddress } from './address.ts'
import { parseToml, readText, refused } from './toml.ts'

/** Where a host of several keeps its configuration, unless a command says otherwise. */
export const standardConfigFile = '/etc/banyan/banyan.toml'
/** File service, peers and administration of a host's server; and the directory, where a host of ours serves it. */
const serverPort = 7400
const directoryPort = 7401

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'a name is made of a-z, 0-9 and -, at most 63')
const absolute = z.string().regex(/^\/[^\0]*$/, 'it must be a path that begins with /')
const address = z.string().refine((text) => parseAddress(text) !== undefined, 'it must be HOST or HOST:PORT')
const port = z.int().min(1).max(65_535)

const schema = z.strictObject({
  node: z.strictObject({
    name,
    state: absolute.default('/var/lib/banyan'),
    listen: z.array(address).min(1).optional(),
    serve: z.boolean().default(true),
    restart: z.boolean().default(true),
  }),
  hosts: z.record(name, address).default({}),
  directory: z.strictObject({
    embedded: name.optional(),
    etcd: z.union([z.literal('managed'), z.array(z.url({ protocol: /^https?$/ })).min(1)]).optional(),
    port: port.default(directoryPort),
  }),
  tls: z.strictObject({ folder: absolute.optional(), plaintext: z.literal('loopback').optional() }).default({}),
  volumes: z.record(name, z.strictObject({ mirrors: z.array(name).min(1).max(9) })).default({}),
  mounts: z
    .array(
      z.strictObject({
        path: absolute,
        provider: name.optional(),
        read_only: z.boolean().default(false),
        unavailable_seconds: z.number().min(1).max(86_400).default(60),
      }),
    )
    .default([]),
  log: z.strictObject({ level: z.enum(logLevels).default('info') }).prefault({}),
})

type Raw = z.infer<typeof schema>

/** What a right setting looks like, for who has to correct one. The longest that fits counts. */
const examples: Readonly<Record<string, string>> = {
  'node.name': 'name = "alpha"',
  'node.listen': 'listen = ["10.0.0.1:7400"]',
  'node.state': 'state = "/var/lib/banyan"',
  hosts: 'alpha = "10.0.0.1"',
  directory: 'embedded = "alpha", or etcd = "managed", or etcd = ["https://10.0.0.1:2379"]',
  tls: 'folder = "/etc/banyan"',
  volumes: '[volumes.main] with mirrors = ["alpha", "beta", "gamma"]',
  mounts: '[[mounts]] with path = "/cluster"',
  'log.level': 'level = "info"',
}

/** How a host of several runs, as its file says. */
export interface HostConfig {
  readonly file: string
  readonly node: NodeId
  readonly stateFolder: string
  /** It runs a file server; for which volumes, the directory says. */
  readonly serves: boolean
  readonly restart: boolean
  readonly logLevel: Raw['log']['level']
  /** Of every host that serves, `HOST:PORT`. */
  readonly hosts: ReadonlyMap<NodeId, string>
  /** Where this host's server listens, `HOST:PORT`; empty for one that serves nothing. */
  readonly listen: readonly string[]
  readonly directory: DirectoryConfig
  readonly tls: { readonly kind: 'certificates'; readonly folder: string } | { readonly kind: 'plaintext-loopback' }
  readonly volumes: ReadonlyMap<string, { readonly mirrors: readonly NodeId[] }>
  readonly mounts: readonly MountConfig[]
  /** By table: what waits for the next start when it is changed. */
  readonly fixed: Readonly<Record<string, unknown>>
}

export type DirectoryConfig =
  /** In the supervisor of that host; `address` is where it listens. */
  | { readonly kind: 'embedded'; readonly node: NodeId; readonly address: string }
  | { readonly kind: 'etcd'; readonly endpoints: readonly string[] }
  /** A member of etcd on each of the hosts, kept by its supervisor: for clients at `port`, for each other at the next. */
  | { readonly kind: 'managed-etcd'; readonly port: number }

export interface MountConfig {
  readonly path: string
  readonly provider: NodeId | undefined
  readonly readOnly: boolean
  readonly unavailableSeconds: number
}

/** @throws Failure */
export function readHostConfig(file: string): HostConfig {
  const text = readText(file)
  if (text !== undefined) return parseHostConfig(text, file)
  throw new Failure(`there is no ${file}`, {
    meaning: 'Nobody knows what this host is to do',
    remedy: 'Write one (docs/banyan.toml is an example), or name another with --config FILE',
  })
}

/** @throws Failure that names file, line, setting and remedy, whatever `text` is */
export function parseHostConfig(text: string, file: string): HostConfig {
  const raw = parseToml(text, file, schema, remedyFor)
  const refuse = (where: readonly string[], what: string, remedy: string): never => {
    throw refused({ text, file, where, what, remedy })
  }
  checkNames(raw, refuse)
  checkTls(raw, refuse)
  return {
    file,
    node: nodeId(raw.node.name),
    stateFolder: raw.node.state,
    serves: raw.node.serve && raw.hosts[raw.node.name] !== undefined,
    restart: raw.node.restart,
    logLevel: raw.log.level,
    hosts: new Map(Object.entries(raw.hosts).map(([node, at]) => [nodeId(node), withPort(at, serverPort)])),
    listen: (raw.node.listen ?? [raw.hosts[raw.node.name]].flatMap((own) => own ?? [])).map((at) =>
      withPort(at, serverPort),
    ),
    directory: directoryOf(raw, refuse),
    tls:
      raw.tls.plaintext === undefined
        ? { kind: 'certificates', folder: raw.tls.folder ?? path.dirname(path.resolve(file)) }
        : { kind: 'plaintext-loopback' },
    volumes: new Map(
      Object.entries(raw.volumes).map(([volume, { mirrors }]) => [volume, { mirrors: mirrors.map(nodeId) }]),
    ),
    mounts: raw.mounts.map((mount) => ({
      path: mount.path,
      provider: mount.provider === undefined ? undefined : nodeId(mount.provider),
      readOnly: mount.read_only,
      unavailableSeconds: mount.unavailable_seconds,
    })),
    fixed: {
      node: [raw.node.name, raw.node.state, raw.node.listen, raw.node.serve],
      hosts: raw.hosts,
      directory: raw.directory,
      tls: raw.tls,
      volumes: raw.volumes,
      ...Object.fromEntries(raw.mounts.map((mount) => [`mounts of ${mount.path}`, mount])),
    },
  }
}

type Refuse = (where: readonly string[], what: string, remedy: string) => never

/** Whoever is named must be one of the hosts, and named once. */
function checkNames({ hosts, mounts, volumes }: Raw, refuse: Refuse): void {
  const among = `Name one of ${Object.keys(hosts).join(', ') || 'the hosts'}, or add it to [hosts]`
  for (const [volume, { mirrors }] of Object.entries(volumes)) {
    const stranger = mirrors.find((mirror) => hosts[mirror] === undefined)
    if (stranger !== undefined) refuse(['volumes', volume, 'mirrors'], `names ${stranger}, which is no host`, among)
    if (new Set(mirrors).size < mirrors.length)
      refuse(['volumes', volume, 'mirrors'], 'names a host twice', 'Name each once')
  }
  for (const [index, mount] of mounts.entries()) {
    const where = (setting: string): string[] => ['mounts', String(index), setting]
    if (mount.provider !== undefined && hosts[mount.provider] === undefined)
      refuse(where('provider'), `is ${mount.provider}, which is no host`, among)
    if (mounts.findIndex((other) => path.resolve(other.path) === path.resolve(mount.path)) !== index)
      refuse(where('path'), 'is the path of another mount, too', 'Choose another, or take one of them out')
  }
}

function checkTls({ directory, hosts, node, tls }: Raw, refuse: Refuse): void {
  const open = Array.isArray(directory.etcd) ? directory.etcd.map((url) => new URL(url)) : []
  const exposed = open.find(({ hostname, protocol }) => protocol === 'http:' && !isLoopback(bare(hostname)))
  if (exposed !== undefined) {
    refuse(
      ['directory', 'etcd'],
      `is reached without encryption, and ${exposed.hostname} is not this machine`,
      'Write https://',
    )
  }
  if (tls.plaintext === undefined) return
  if (tls.folder !== undefined) {
    refuse(['tls', 'plaintext'], 'stands beside folder', 'Take plaintext out, and the certificates are used')
  }
  const remedy = 'Take plaintext out, and make certificates with "banyan cert"'
  const all = [...Object.entries(hosts).map(([, at]) => at), ...(node.listen ?? [])]
  const far = all.find((at) => !isLoopback(parseAddress(at)?.host ?? ''))
  if (far !== undefined) refuse(['tls', 'plaintext'], `is for loopback only, and ${far} is none`, remedy)
}

/** Without the brackets of IPv6. */
const bare = (host: string): string => host.replaceAll(/[[\]]/g, '')

function directoryOf({ directory, hosts }: Raw, refuse: Refuse): DirectoryConfig {
  const { embedded, etcd } = directory
  const example = `Write ${examples['directory']}`
  if (embedded !== undefined && etcd !== undefined) refuse(['directory'], 'is both embedded and etcd', example)
  if (etcd === 'managed') return { kind: 'managed-etcd', port: directory.port }
  if (etcd !== undefined) return { kind: 'etcd', endpoints: etcd }
  if (embedded === undefined) return refuse(['directory'], 'says neither embedded nor etcd', example)
  const at = hosts[embedded]
  if (at === undefined)
    return refuse(['directory', 'embedded'], `is ${embedded}, which is no host`, 'Name one of [hosts]')
  const { host } = parseAddress(at) ?? { host: at }
  return { kind: 'embedded', node: nodeId(embedded), address: formatAddress({ host, port: directory.port }) }
}

function withPort(text: string, standard: number): string {
  const { host, port: given } = parseAddress(text) ?? { host: text, port: undefined }
  return formatAddress({ host, port: given ?? standard })
}

function remedyFor(setting: string): string {
  const known = Object.keys(examples).filter((prefix) => `${setting}.`.startsWith(`${prefix}.`))
  const [best] = known.sort((a, b) => b.length - a.length)
  if (best === undefined) return 'Take it out; docs/banyan.toml has all that can be set'
  return `Write for example ${examples[best]}; docs/banyan.toml has all that can be set`
}
