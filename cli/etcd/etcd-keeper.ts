import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { RestartPause } from '../../fs-driver/restart-pause.ts'
import type { NodeId } from '../../proto/ids.ts'
import { Endpoints } from '../../server/directory/etcd/endpoints.ts'
import { Failure, oneLine } from '../failure.ts'
import type { Log } from '../log.ts'
import { adoptChild, type Child, type ChildEnd, lastLine, startChild } from '../up/child.ts'
import { askMembers } from './ask-members.ts'
import { type Answer, beginning } from './beginning.ts'
import { readIdentityFiles } from './identity-files.ts'
import { dataMark, endpointsOf, etcdArgs, type ManagedEtcd, peerUrl, wholeCluster } from './managed-etcd.ts'

const program = 'etcd'
/** From SIGTERM to SIGKILL: it hands its leadership over. */
const stopMs = 10_000
/** Between two starts: doubled while it does not live long, the first again after a minute of life. */
const restarts = { firstMs: 200, maxMs: 10_000, healthyMs: 60_000 }

export interface EtcdKeeperOptions {
  readonly etcd: ManagedEtcd
  /** Its lifeline stands there. */
  readonly run: string
  /** For what it says itself. */
  readonly output: string
  readonly log: Log
}

export interface EtcdState {
  readonly phase: 'waiting' | 'running' | 'ended' | 'stopped'
  readonly pid: number | undefined
  /** Why it does not run; empty while it does. */
  readonly reason: string
}

/**
 * Keeps this host's member of etcd: begins the cluster or joins it, starts the process, starts it again when it dies. The
 * process outlives a killed supervisor; the next one finds it.
 */
export class EtcdKeeper {
  readonly #options: EtcdKeeperOptions
  #child: Child | undefined
  #phase: EtcdState['phase'] = 'stopped'
  #reason = ''
  #startedAt = 0
  readonly #pause = new RestartPause(restarts)
  #timer: NodeJS.Timeout | undefined
  #onceEnded: (() => void)[] = []

  constructor(options: EtcdKeeperOptions) {
    this.#options = options
  }

  get state(): EtcdState {
    return { phase: this.#phase, pid: this.#child?.pid, reason: this.#reason }
  }

  /** Finds the member that runs already, or begins to start it: nobody needs to wait for it. @throws Failure */
  start(): void {
    const { etcd, log } = this.#options
    if (spawnSync(program, ['--version']).status !== 0) {
      throw new Failure('the program etcd is missing', {
        meaning: 'This host cannot keep a member of the directory, so nothing was started',
        remedy: 'Install it ("apt-get install etcd-server"), or name the members of an etcd that there is',
      })
    }
    mkdirSync(etcd.folder, { recursive: true, mode: 0o700 })
    const onEnd = ({ reason }: ChildEnd): void => this.#ended(reason)
    const adopted = adoptChild({ lifeline: this.#lifeline(), mark: dataMark(etcd), onEnd })
    if (adopted === undefined) return this.#begin()
    this.#runs(adopted)
    log.info('etcd.adopted', { pid: adopted.pid })
  }

  /** Resolves when its process has ended. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#phase = 'stopped'
    const child = this.#child
    if (child === undefined) return
    const ended = new Promise<void>((resolve) => void this.#onceEnded.push(resolve))
    child.signal('SIGTERM')
    child.signal('SIGCONT')
    const timer = setTimeout(() => child.signal('SIGKILL'), stopMs)
    await ended
    clearTimeout(timer)
  }

  #begin(): void {
    if (this.#phase !== 'ended') this.#phase = 'waiting'
    this.#timer = undefined
    const { etcd, log } = this.#options
    void this.#plan().then(
      (args) => {
        if (this.#phase === 'stopped') return
        if (args === undefined) return this.#later()
        const child = startChild({
          program,
          args,
          output: this.#options.output,
          lifeline: this.#lifeline(),
          onEnd: ({ reason }) => this.#ended(reason),
        })
        this.#runs(child)
        log.info('etcd.started', { pid: child.pid, node: etcd.node })
      },
      (error: unknown) => {
        this.#waitFor(oneLine(error))
        this.#later()
      },
    )
  }

  #runs(child: Child): void {
    this.#child = child
    this.#phase = 'running'
    this.#reason = ''
    this.#startedAt = performance.now()
  }

  /** How it is to be started; undefined: not yet. */
  async #plan(): Promise<readonly string[] | undefined> {
    const { etcd, log } = this.#options
    // Started before: what it is told of the cluster counts no more.
    if (existsSync(path.join(etcd.folder, 'member'))) return etcdArgs(etcd, 'existing', wholeCluster(etcd))
    const others = [...etcd.hosts.keys()].filter((node) => node !== etcd.node)
    const answers = await Promise.all(others.map((node) => askMembers(etcd, node)))
    const how = beginning(peerUrl(etcd, etcd.node), answers)
    switch (how.kind) {
      case 'new':
        return etcdArgs(etcd, 'new', wholeCluster(etcd))
      case 'existing':
        return etcdArgs(etcd, 'existing', await this.#join())
      case 'add':
        return etcdArgs(etcd, 'existing', await this.#join({}))
      case 'replace':
        log.info('etcd.replaced', { node: etcd.node, former: how.id })
        return etcdArgs(etcd, 'existing', await this.#join({ instead: how.id }))
      case 'wait':
        this.#waitFor(`whether it has run before is not known: ${unreachable(others, answers)} cannot be reached`)
        return undefined
    }
  }

  /** Lets the others take this member in, if they have not yet. @returns what it is to be told of the cluster */
  async #join(how?: { readonly instead?: string }): Promise<string> {
    const { etcd } = this.#options
    const own = peerUrl(etcd, etcd.node)
    const others = { ...etcd, hosts: new Map([...etcd.hosts].filter(([node]) => node !== etcd.node)) }
    const tls = etcd.tls && readIdentityFiles(etcd.tls)
    const endpoints = new Endpoints({ endpoints: endpointsOf(others), ...(tls && { tls }) })
    try {
      const former = how?.instead
      if (former !== undefined)
        await endpoints.ask((client, options) => client.cluster.memberRemove({ ID: former }, options))
      if (how !== undefined)
        await endpoints.ask((client, options) => client.cluster.memberAdd({ peerURLs: [own] }, options))
      const { members } = await endpoints.ask((client, options) => client.cluster.memberList({}, options))
      return members
        .flatMap(({ name, peerURLs }) => peerURLs.map((at) => `${this.#nodeAt(at) ?? name}=${at}`))
        .join(',')
    } finally {
      endpoints.close()
    }
  }

  #nodeAt(url: string): NodeId | undefined {
    const { etcd } = this.#options
    return [...etcd.hosts.keys()].find((node) => peerUrl(etcd, node) === url)
  }

  #waitFor(reason: string): void {
    if (reason !== this.#reason) this.#options.log.info('etcd.waits', { reason })
    this.#reason = reason
  }

  #later(): void {
    if (this.#phase === 'stopped') return
    this.#timer = setTimeout(() => this.#begin(), this.#pause.next())
  }

  #ended(reason: string): void {
    const asked = this.#phase === 'stopped'
    const livedMs = performance.now() - this.#startedAt
    this.#child = undefined
    for (const tell of this.#onceEnded.splice(0)) tell()
    if (asked) return this.#options.log.info('etcd.stopped')
    this.#phase = 'ended'
    this.#reason = [reason, lastLine(this.#options.output)].filter((part) => part !== '').join(': ')
    this.#options.log.error('etcd.ended', { reason: this.#reason })
    this.#pause.ended(livedMs)
    this.#later()
  }

  #lifeline(): string {
    return path.join(this.#options.run, 'etcd.alive')
  }
}

function unreachable(nodes: readonly NodeId[], answers: readonly Answer[]): string {
  return nodes
    .flatMap((node, index) => {
      const answer = answers[index]
      return answer?.kind === 'unreachable' ? [`${node} (${answer.why})`] : []
    })
    .join(', ')
}
