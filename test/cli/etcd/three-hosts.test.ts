import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { makeAuthority, makeNodeCertificate } from '../../../cli/commands/cert.ts'
import { hostAt } from '../../../cli/host.ts'
import { banyanArgs } from '../../../cli/program.ts'
import type { VolumeRecord } from '../../../replication/record.ts'
import { scratch } from '../../fixtures/etcd.ts'
import { freePortRange } from '../../fixtures/free-ports.ts'
import { waitFor } from '../../fixtures/wait.ts'

const limitMs = 120_000
t.setTimeout(4 * limitMs)

const names = ['alpha', 'beta', 'gamma']

/** Three hosts on addresses of the loopback, each with its configuration and certificate. */
class Cluster {
  readonly #folder = mkdtempSync(path.join(scratch, 'banyan-hosts-'))
  readonly #running = new Map<string, ChildProcess>()

  static async configured(test: Test): Promise<Cluster> {
    const cluster = new Cluster()
    test.teardown(async () => {
      if (!test.passing()) for (const name of names) test.comment(cluster.#logs(name))
      await cluster.#end()
    })
    const port = await freePortRange(3)
    const hosts = names.map((name, index) => `${name} = "127.0.0.${index + 1}:${port + 2}"`).join('\n')
    makeAuthority({ folder: cluster.#folder })
    for (const [index, name] of names.entries()) {
      // Whoever speaks to another address of the loopback does so from the first one, and etcd looks at that.
      makeNodeCertificate({ folder: cluster.#folder, name, addresses: [`127.0.0.${index + 1}`, '127.0.0.1'] })
      const state = path.join(cluster.#folder, name)
      mkdirSync(state)
      const node = `[node]\nname = "${name}"\nstate = "${state}"`
      const directory = `[directory]\netcd = "managed"\nport = ${port}`
      const rest = `[volumes.main]\nmirrors = ["alpha", "beta", "gamma"]`
      writeFileSync(cluster.config(name), [node, '[hosts]', hosts, directory, rest, ''].join('\n'))
    }
    return cluster
  }

  config(name: string): string {
    return path.join(this.#folder, `${name}.toml`)
  }

  run(name: string): void {
    const child = spawn(process.execPath, banyanArgs('run', '--config', this.config(name)), {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    child.stderr.on('data', (said: Buffer) => t.comment(`${name}: ${said.toString().trim()}`))
    this.#running.set(name, child)
  }

  /** What its member of etcd said last. */
  etcdSaid(name: string): string {
    return this.#said(name, 'etcd.out')
  }

  #logs(name: string): string {
    return ['run.log', `${name}.log`, 'etcd.out'].map((file) => `== ${name}: ${this.#said(name, file)}`).join('\n')
  }

  #said(name: string, file: string): string {
    const at = path.join(this.#folder, name, 'log', file)
    return existsSync(at) ? readFileSync(at, 'utf8').slice(-2000) : 'nothing'
  }

  async record(through: string): Promise<VolumeRecord | undefined> {
    const directory = await hostAt({ config: this.config(through) }).openDirectory()
    try {
      return (await directory.readRecord('main'))?.record
    } finally {
      await directory.close()
    }
  }

  /** Ends it as a person would. */
  async stop(name: string): Promise<void> {
    const child = this.#running.get(name)
    this.#running.delete(name)
    if (child === undefined || child.exitCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await gone
  }

  async #end(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((name) => this.stop(name)))
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

void t.test('three configurations and three commands are a cluster, and any one host may leave', async (t) => {
  const cluster = await Cluster.configured(t)
  for (const name of names) cluster.run(name)
  const allIn = (through: string): Promise<VolumeRecord> =>
    waitFor(
      async () => {
        const record = await cluster.record(through)
        if (record?.primary === undefined || record.inSync.length < 3 || Object.keys(record.incarnations).length < 3)
          throw new Error(JSON.stringify(record) ?? 'no record')
        return record
      },
      { what: 'three in sync', limitMs },
    )
  const { primary } = await allIn('alpha')
  if (primary === undefined) throw new Error('nobody leads')
  await cluster.stop(primary)
  const others = names.filter((name) => name !== primary)
  const [other = ''] = others
  await waitFor(
    async () => {
      const record = await cluster.record(other)
      if (record?.primary === undefined || record.primary === primary) throw new Error(JSON.stringify(record) ?? '')
      return record
    },
    { what: 'another primary', limitMs },
  )
  cluster.run(primary)
  const again = await allIn(other)
  t.not(again.primary, primary)
  t.notMatch(cluster.etcdSaid(primary), /panic|fatal/)
})
