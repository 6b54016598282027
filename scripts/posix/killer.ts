import type { Cluster } from '../../test/fixtures/cluster.ts'
import { pause } from '../../test/fixtures/wait.ts'

/** Between a member's return and the next one's end. */
const quietMs = 2000

/** Kills members of a cluster one after the other with SIGKILL, and starts each again, until it is told to stop. */
export class Killer {
  readonly #cluster: Cluster
  readonly #whom: 'mirror' | 'primary'
  readonly #ended: Promise<void>
  #stopping = false
  /** Members killed so far. */
  rounds = 0

  constructor(cluster: Cluster, whom: 'mirror' | 'primary') {
    this.#cluster = cluster
    this.#whom = whom
    this.#ended = this.#run()
    this.#ended.catch(() => {}) // `stop` says it
  }

  /** When the member that is down is back and in sync. @throws Error if one did not come back */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#ended
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      const others = await this.#cluster.others()
      const victim = this.#whom === 'primary' ? await this.#cluster.primary() : others[this.rounds % others.length]
      if (victim === undefined) throw new Error('there is no mirror to kill')
      this.#cluster.signal(await this.#cluster.pidOf(victim), 'SIGKILL')
      this.rounds += 1
      await pause(quietMs)
      await this.#cluster.startServer(victim)
      await this.#cluster.resynced()
      await pause(quietMs)
    }
  }
}
