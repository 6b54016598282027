import type { NodeId } from '../../proto/ids.ts'
import { everything, type WorkItem } from '../../replication/work.ts'
import type { Host } from './host.ts'
import type { Digests } from './server.ts'
import { blobMax } from './state.ts'
import type { Timeline } from './timeline.ts'
import type { Trace } from './trace.ts'
import { Violation } from './violation.ts'

/** What `banyan verify --repair` does: compares all members item by item and has mended what differs. */
export class Verifier {
  readonly #timeline: Timeline
  readonly #trace: Trace
  readonly #hosts: readonly Host[]
  #isBusy = false
  /** A round that was begun since `forget` found nothing. */
  isClean = false
  #isForgotten = false
  /** Items that were found to differ somewhere. */
  found = 0

  constructor(timeline: Timeline, trace: Trace, hosts: readonly Host[]) {
    this.#timeline = timeline
    this.#trace = trace
    this.#hosts = hosts
  }

  /** What was found before says nothing any more. */
  forget(): void {
    this.isClean = false
    this.#isForgotten = this.#isBusy
  }

  /** Begins a round, unless one is under way or there is no primary to ask. */
  round(): void {
    if (this.#isBusy) return
    this.#isBusy = true
    const blobs = new Set(this.#hosts.flatMap((host) => [...host.disk.os.state.blobs.keys()]))
    const contents = [...blobs].map((blob): WorkItem => ({ kind: 'range', blob, offset: 0, length: blobMax }))
    this.#next([...everything, ...contents], true)
  }

  #next(items: readonly WorkItem[], isClean: boolean): void {
    const [item, ...rest] = items
    if (item === undefined) return this.#end(isClean)
    const process = this.#hosts.find(
      (host) => host.process?.isStopped === false && host.process.replica.mayChange(),
    )?.process
    if (process === undefined) return this.#end(false)
    let isOver = false
    const done = (digests: Digests | undefined) => {
      if (isOver) return
      isOver = true
      if (digests === undefined) return this.#end(false)
      const wrong = wrongOnes(item, digests)
      if (wrong.length > 0) this.#mend(process.node, wrong, item, digests)
      this.#timeline.after(1, () => this.#next(rest, isClean && wrong.length === 0))
    }
    this.#timeline.after(3000, () => done(undefined))
    process.step(() => process.server.verify(item, done))
  }

  #mend(primary: NodeId, wrong: readonly NodeId[], item: WorkItem, digests: Digests): void {
    this.found += 1
    this.#trace.add(() => `VERIFY: ${wrong.join(', ')} differ in ${item.kind}`)
    const process = this.#hosts.find((host) => host.node === primary)?.process
    if (process === undefined) return
    const heir = [...digests.keys()].find((node) => !wrong.includes(node))
    process.step(() => {
      if (!wrong.includes(primary)) for (const node of wrong) process.replica.repair(node, [item])
      else if (heir !== undefined) process.replica.handOver(heir)
    })
  }

  #end(isClean: boolean): void {
    this.#isBusy = false
    this.isClean = isClean && !this.#isForgotten
    this.#isForgotten = false
  }
}

/** Who fails its own checksums. Nothing else may make two members differ. */
function wrongOnes(item: WorkItem, digests: Digests): readonly NodeId[] {
  const damaged = [...digests].filter(([, digest]) => digest.damaged.length > 0).map(([node]) => node)
  const sums = [...digests].map(([node, { digest }]) => [node, Buffer.from(digest).toString('hex')] as const)
  const different = new Set(sums.filter(([node]) => !damaged.includes(node)).map(([, sum]) => sum))
  if (different.size <= 1) return damaged
  throw new Violation('verify', 'R35 to R39', `${item.kind} differs, and no bit was flipped: ${sums.join('; ')}`)
}
