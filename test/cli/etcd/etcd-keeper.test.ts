import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { EtcdKeeper } from '../../../cli/etcd/etcd-keeper.ts'
import { endpointsOf, type ManagedEtcd } from '../../../cli/etcd/managed-etcd.ts'
import { nodeId } from '../../../proto/ids.ts'
import { newRecord } from '../../../replication/record.ts'
import { EtcdDirectory } from '../../../server/directory/etcd/etcd.ts'
import { scratch } from '../../fixtures/etcd.ts'
import { freePorts } from '../../fixtures/free-ports.ts'
import { waitFor } from '../../fixtures/wait.ts'

const limitMs = 60_000
t.setTimeout(4 * limitMs)

const nodes = ['alpha', 'beta', 'gamma'].map(nodeId)
const record = newRecord(nodes)

/** Three hosts, each an address of the loopback. */
class Hosts {
  readonly folder = mkdtempSync(path.join(scratch, 'banyan-etcd-'))
  readonly etcds: readonly ManagedEtcd[]
  readonly #keepers = new Map<ManagedEtcd, EtcdKeeper>()

  private constructor([clientPort = 0, peerPort = 0]: readonly number[]) {
    const hosts = new Map(nodes.map((node, index) => [node, `127.0.0.${index + 1}`]))
    this.etcds = nodes.map((node) => ({
      node,
      hosts,
      folder: path.join(this.folder, node, 'etcd'),
      clientPort,
      peerPort,
      tls: undefined,
    }))
  }

  static async open(test: Test): Promise<Hosts> {
    const hosts = new Hosts(await freePorts(2))
    test.teardown(async () => {
      await Promise.all([...hosts.#keepers.values()].map((keeper) => keeper.stop()))
      rmSync(hosts.folder, { recursive: true, force: true })
    })
    return hosts
  }

  keep(index: number): EtcdKeeper {
    const etcd = this.#etcd(index)
    const root = path.dirname(etcd.folder)
    mkdirSync(root, { recursive: true })
    const log = { debug: () => {}, info: () => {}, error: () => {} }
    const keeper = new EtcdKeeper({ etcd, run: root, output: path.join(root, 'etcd.out'), log })
    this.#keepers.set(etcd, keeper)
    keeper.start()
    return keeper
  }

  directory(test: Test): EtcdDirectory {
    const directory = new EtcdDirectory({ endpoints: endpointsOf(this.#etcd(0)) })
    test.teardown(() => directory.close())
    return directory
  }

  loseDisk(index: number): void {
    rmSync(this.#etcd(index).folder, { recursive: true })
  }

  #etcd(index: number): ManagedEtcd {
    const etcd = this.etcds[index]
    if (etcd === undefined) throw new RangeError(`no host ${index}`)
    return etcd
  }
}

async function created(directory: EtcdDirectory, volume: string): Promise<void> {
  await waitFor(async () => (await directory.createRecord(volume, record)).version === 1, {
    what: `a record of ${volume}`,
    limitMs,
  })
}

async function running(keeper: EtcdKeeper, other: number | undefined): Promise<number> {
  return await waitFor(
    () => {
      const { phase, pid, reason } = keeper.state
      if (phase !== 'running' || pid === other) throw new Error(`${phase} ${reason}`)
      return pid
    },
    { what: 'a process of etcd', limitMs },
  )
}

void t.test(
  'three supervisors make one etcd; a member that dies is started again, also one found running',
  async (t) => {
    const hosts = await Hosts.open(t)
    const alpha = hosts.keep(0)
    hosts.keep(1)
    const directory = hosts.directory(t)
    await created(directory, 'without-the-third')
    hosts.keep(2)
    const pid = await running(alpha, undefined)
    const adopting = hosts.keep(0)
    t.equal(adopting.state.pid, pid, 'another supervisor of that host finds it')
    process.kill(pid, 'SIGKILL')
    await running(adopting, pid)
    await created(directory, 'after-a-death')
    await alpha.stop()
  },
)

void t.test('a host that comes back with an empty disk takes a new place in the etcd that is there', async (t) => {
  const hosts = await Hosts.open(t)
  const [, beta, gamma] = [0, 1, 2].map((index) => hosts.keep(index))
  if (beta === undefined || gamma === undefined) throw new Error('no keepers')
  const directory = hosts.directory(t)
  await created(directory, 'before')
  await running(gamma, undefined)
  await created(directory, 'with-all')
  await gamma.stop()
  hosts.loseDisk(2)
  await created(directory, 'while-it-was-away')
  const again = hosts.keep(2)
  await running(again, undefined)
  await created(directory, 'after')
  const alone = new EtcdDirectory({
    endpoints: endpointsOf({ ...hosts.etcds[2], hosts: new Map([[nodes[2], '127.0.0.3']]) } as ManagedEtcd),
  })
  t.teardown(() => alone.close())
  await waitFor(async () => (await alone.readRecord('while-it-was-away'))?.version, { what: 'what it missed', limitMs })
  await beta.stop()
  await created(directory, 'with-it-and-one-other')
})
