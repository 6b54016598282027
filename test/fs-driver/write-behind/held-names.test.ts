import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import type { FileCall, FileResult, Outcome } from '../../../fs-driver/router/file-client.ts'
import { ExtentFile } from '../../../fs-driver/write-behind/extent-file.ts'
import { StepFiles } from '../../../fs-driver/write-behind/step-files.ts'
import { WriteBehind } from '../../../fs-driver/write-behind/write-behind.ts'
import { errnos, FsError } from '../../../proto/errno.ts'
import type { Attributes, Caller } from '../../../proto/generated/file-service.ts'
import { violations } from '../../../server/filesystem/invariants.ts'
import { operate } from '../../../server/filesystem/operate.ts'
import { MemoryVolume } from '../../fixtures/memory-volume.ts'
import { quietCaches } from '../../fixtures/quiet-caches.ts'
import { seed } from '../../fixtures/random.ts'

// What is made under holds is answered by the driver, which must say what servers would, and is done later.

t.setTimeout(300_000)
const runs = Number(process.env['BANYAN_RUNS'] ?? 400)
const root: Caller = { uid: 0, gid: 0, groups: [], pid: 1 }
const callers: Readonly<Record<string, Caller>> = {
  root,
  ann: { uid: 1000, gid: 1000, groups: [], pid: 2 },
  bob: { uid: 1001, gid: 1001, groups: [], pid: 3 },
}
const nowNs = (): bigint => 1_700_000_000_000_000_000n + process.hrtime.bigint()

/** A driver's write-behind, and a server with one client: what it is asked it does a little later. */
class Held {
  readonly volume = new MemoryVolume(nowNs())
  /** Answered here, and not touched by anything since that went through. */
  readonly said = new Map<bigint, Attributes>()
  heldBack = 0
  #unique = 0n
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'banyan-names-'))
  readonly #behind: WriteBehind

  constructor() {
    const { coherence } = quietCaches({ nowMs: () => performance.now() })
    coherence.onProlonged(1e9)
    this.#behind = new WriteBehind({
      client: () => ({ call: (call, caller) => this.#serve(call, caller) }),
      coherence,
      file: new ExtentFile(path.join(this.#folder, 'writes'), { resend: false }),
      stepFiles: new StepFiles(path.join(this.#folder, 'steps'), { resend: false }),
      open: { isOpenForWriting: () => false, writingTo: () => [] },
      nowMs: () => performance.now(),
      log: {
        debug: () => {},
        info: () => {},
        error: (event, about) => this.failed.push(`${event} ${JSON.stringify(about)}`),
      },
    })
  }

  readonly failed: string[] = []

  async end(): Promise<void> {
    await this.#behind.end()
    rmSync(this.#folder, { recursive: true })
  }

  flush(): Promise<void> | undefined {
    return this.#behind.before({ $case: 'statfs', value: {} }, { all: true })
  }

  /** What was asked for by itself has come. */
  async rest(): Promise<void> {
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
  }

  /** As the driver does it. */
  async run(call: FileCall, caller: Caller): Promise<Outcome> {
    const unique = (this.#unique += 2n)
    if (call.$case === 'write' && this.#behind.take(call.value, caller, { unique, resent: false })) {
      this.heldBack++
      this.said.delete(call.value.ino)
      return {
        kind: 'result',
        result: { $case: 'written', value: { length: call.value.data.length, offset: 0n, size: 0n } },
      }
    }
    const known = this.#known(call, caller, unique)
    if (known !== undefined) return known
    const settling = this.#behind.settling(call)
    if (settling !== undefined) await settling
    const then = settling === undefined ? undefined : this.#known(call, caller, unique)
    if (then !== undefined) return then
    await this.#behind.before(call, { all: false })
    this.said.clear()
    const { mark } = this.#behind
    const outcome = await this.#ask(call, caller)
    const stale =
      outcome.kind === 'result' && call.$case === 'lookup' ? this.#behind.stale(outcome.result, mark) : undefined
    if (stale === undefined) return outcome
    await stale
    return await this.#ask(call, caller)
  }

  async #ask(call: FileCall, caller: Caller): Promise<Outcome> {
    const { asked, call: sent } = this.#behind.asking(call, { durable: false })
    try {
      const result = await this.#serve(sent, caller)
      asked(result, undefined)
      return { kind: 'result', result }
    } catch (error) {
      if (!(error instanceof FsError)) throw error
      asked(undefined, error.errno)
      return { kind: 'errno', errno: errnos[error.errno] }
    }
  }

  #known(call: FileCall, caller: Caller, unique: bigint): Outcome | undefined {
    const outcome = this.#behind.answer(call, caller, unique)
    if (outcome === undefined) return undefined
    this.heldBack++
    const attributes = outcome.kind === 'result' ? attributesIn(outcome.result) : undefined
    if (attributes !== undefined) this.said.set(attributes.ino, attributes)
    if ('parent' in call.value && call.$case !== 'lookup') this.said.delete(call.value.parent)
    return outcome
  }

  async #serve(call: FileCall, caller: Caller): Promise<FileResult> {
    await new Promise((resolve) => setImmediate(resolve))
    return serve(this.volume, call, caller)
  }
}

function serve(volume: MemoryVolume, call: FileCall, caller: Caller): FileResult {
  const outcome = operate(volume, caller, call, { ...volume.at(call, nowNs()), mayHold: true })
  volume.apply(outcome.effects)
  return volume.answer(call, outcome)
}

const attributesIn = (result: FileResult): Attributes | undefined =>
  result.$case === 'entry' ? result.value.attributes : result.$case === 'attributes' ? result.value : undefined

interface Act {
  readonly what:
    | 'mkdir'
    | 'create'
    | 'symlink'
    | 'write'
    | 'chmod'
    | 'chown'
    | 'utimes'
    | 'lookup'
    | 'getattr'
    | 'unlink'
    | 'rmdir'
    | 'rename'
    | 'flush'
  readonly who: string
  /** Which of what is there, and how. */
  readonly pick: number
  readonly other: number
  readonly bits: number
}

/** What makes the driver take the root. */
const beginning: readonly Act[] = [
  { what: 'chmod', who: 'root', pick: 0, other: 0, bits: 0o777 },
  { what: 'symlink', who: 'root', pick: 0, other: 100, bits: 0 },
  { what: 'symlink', who: 'root', pick: 0, other: 101, bits: 0 },
  { what: 'flush', who: 'root', pick: 0, other: 0, bits: 0 },
]

const acts = fc.array(
  fc.record<Act>({
    what: fc.constantFrom(
      ...Array<'create'>(12).fill('create'),
      ...Array<'mkdir'>(5).fill('mkdir'),
      ...Array<'write'>(6).fill('write'),
      ...(['symlink', 'symlink', 'chmod', 'chmod', 'chown', 'chown', 'utimes', 'utimes', 'lookup', 'getattr'] as const),
      ...(['unlink', 'rmdir', 'rename', 'flush'] as const),
    ),
    who: fc.constantFrom('root', 'root', 'root', 'ann', 'ann', 'bob'),
    pick: fc.nat(999),
    other: fc.nat(999),
    bits: fc.constantFrom(0o755, 0o777, 0o700, 0o2775, 0o4755, 0o1777, 0o500),
  }),
  { minLength: 5, maxLength: 60, size: 'max' },
)

const ofRoot = (): Inos => ({ all: [1n], dirs: [1n] })
const nameOf = (n: number): Buffer => Buffer.from(`n${n % 12}`)

/** What was made, in order. */
interface Inos {
  readonly all: bigint[]
  readonly dirs: bigint[]
}

/** What the act means in a volume where these are the inodes. */
function callOf({ what, pick, other, bits }: Act, { all, dirs }: Inos): FileCall | undefined {
  // Often one of the latest: a directory is filled after it was made.
  const one = (inos: readonly bigint[], n: number): bigint =>
    inos[n % 3 === 0 ? n % inos.length : Math.max(0, inos.length - 1 - (n % 4))] ?? 1n
  const ino = one(all, pick)
  const parent = one(dirs, pick)
  const name = nameOf(other)
  const times = { atime: undefined, mtime: undefined }
  const change = { ino, openForWriting: false, killPrivileges: false, ...times }
  switch (what) {
    case 'mkdir':
      return { $case: 'mkdir', value: { parent, name, mode: bits, umask: 0o022 } }
    case 'create':
      return { $case: 'create', value: { parent, name, mode: bits & 0o6777, umask: 0o022, flags: 0o201 } }
    case 'symlink':
      return { $case: 'symlink', value: { parent, name, target: Buffer.from('x'.repeat(1 + (pick % 9))) } }
    case 'write':
      return {
        $case: 'write',
        value: {
          ino,
          offset: BigInt(other % 5000),
          data: Buffer.alloc(1 + other * 7, 97 + (pick % 26)),
          append: other % 2 === 0,
          killPrivileges: false,
        },
      }
    case 'chmod':
      return { $case: 'setattr', value: { ...change, mode: bits } }
    case 'chown':
      return {
        $case: 'setattr',
        value: { ...change, uid: [0, 1000, 1001][other % 3], gid: [undefined, 1000][pick % 2] },
      }
    case 'utimes':
      return {
        $case: 'setattr',
        value: {
          ...change,
          atime: { now: false, ns: BigInt(pick) },
          mtime: other % 2 === 0 ? { now: false, ns: BigInt(other) } : undefined,
        },
      }
    case 'lookup':
      return { $case: 'lookup', value: { parent, name } }
    case 'getattr':
      return { $case: 'getattr', value: { ino } }
    case 'unlink':
      return { $case: 'unlink', value: { parent, name } }
    case 'rmdir':
      return { $case: 'rmdir', value: { parent, name } }
    case 'rename':
      return {
        $case: 'rename',
        value: { parent, name, newParent: one(dirs, other), newName: nameOf(pick), flags: 0 },
      }
    case 'flush':
      return undefined
  }
}

/** All that a caller could tell of it but when it was, by name. */
function shown(volume: MemoryVolume, ino = 1n, at = ''): string[] {
  const listing = serve(volume, { $case: 'readdir', value: { ino, cookie: 0n, count: 1000, attributes: true } }, root)
  if (listing.$case !== 'listing') throw new Error('no listing')
  const lines: string[] = []
  for (const { name, ino: child, attributes } of listing.value.entries) {
    const text = name.toString('latin1')
    if (text === '.' || text === '..' || attributes === undefined) continue
    const { blocks, gid, mode, nlink, size, uid } = attributes
    lines.push(
      `${at}/${text} ${mode.toString(8)} ${nlink} ${uid} ${gid} ${size} ${blocks} ${contents(volume, child, mode, size)}`,
    )
    if (mode >>> 12 === 4) lines.push(...shown(volume, child, `${at}/${text}`))
  }
  return lines.sort()
}

function contents(volume: MemoryVolume, ino: bigint, mode: number, size: bigint): string {
  if (mode >>> 12 === 4) return ''
  const call: FileCall =
    mode >>> 12 === 8
      ? { $case: 'read', value: { ino, offset: 0n, length: Number(size) } }
      : { $case: 'readlink', value: { ino } }
  const result = serve(volume, call, root)
  return result.$case === 'data' ? result.value.toString('latin1') : ''
}

void t.test('what is held back is what servers would have made of it, one after the other', async (t) => {
  t.comment(`BANYAN_SEED=${seed}`)
  let [heldBack, all] = [0, 0]
  await fc.assert(
    fc.asyncProperty(acts, async (history) => {
      const held = new Held()
      try {
        const plain = new MemoryVolume(nowNs())
        const inos: { readonly here: Inos; readonly there: Inos } = { here: ofRoot(), there: ofRoot() }
        for (const act of [...beginning, ...history]) {
          const caller = callers[act.who] ?? root
          const [here, there] = [callOf(act, inos.here), callOf(act, inos.there)]
          if (here === undefined || there === undefined) {
            await held.flush()
            await held.rest()
            continue
          }
          if ('parent' in there.value && isGone(plain, there.value.parent)) continue // the kernel refuses that by itself
          // The kernel lets nobody ask for a name who may not search the directory.
          const who = here.$case === 'lookup' || here.$case === 'getattr' ? root : caller
          all++
          if (here.$case === 'create' || here.$case === 'mkdir' || here.$case === 'symlink') {
            const { name, parent } = here.value
            await held.run({ $case: 'lookup', value: { parent, name } }, root) // as the kernel does
          }
          const [got, wanted] = [await held.run(here, who), outcomeOf(plain, there, who)]
          const [a, b] = [summary(got), summary(wanted)]
          if (a !== b) throw new Error(`${JSON.stringify(act)}: ${a}, by servers alone ${b}`)
          const [mine, theirs] = [inoOf(got), inoOf(wanted)]
          if (mine === undefined || theirs === undefined || beginning.includes(act)) continue
          if (inos.here.all.includes(mine)) continue
          inos.here.all.push(mine)
          inos.there.all.push(theirs)
          if (act.what !== 'mkdir') continue
          inos.here.dirs.push(mine)
          inos.there.dirs.push(theirs)
        }
        await held.flush()
        const [mine, theirs] = [shown(held.volume), shown(plain)]
        if (mine.join('\n') !== theirs.join('\n')) throw new Error(`${mine.join('\n')}\n---\n${theirs.join('\n')}`)
        for (const [ino, said] of held.said) {
          const result = serve(held.volume, { $case: 'getattr', value: { ino } }, root)
          const now = attributesIn(result)
          if (now === undefined || textOf({ ...now, bare: said.bare }) !== textOf(said))
            throw new Error(`said ${textOf(said)}, is ${textOf(now)}`)
        }
        const broken = violations(held.volume.values).filter((one) => !one.includes('by session 1, which is not there'))
        const wrong = [...broken, ...held.failed]
        if (wrong.length > 0) throw new Error(wrong.join('\n'))
        heldBack += held.heldBack
      } finally {
        await held.end()
      }
    }),
    { seed, numRuns: runs },
  )
  t.comment(`${heldBack} of ${all} were answered here`)
  t.ok(heldBack > all / 12, 'it is held back at all')
})

function outcomeOf(volume: MemoryVolume, call: FileCall, caller: Caller): Outcome {
  try {
    return { kind: 'result', result: serve(volume, call, caller) }
  } catch (error) {
    if (!(error instanceof FsError)) throw error
    return { kind: 'errno', errno: errnos[error.errno] }
  }
}

/** It was removed. */
function isGone(volume: MemoryVolume, ino: bigint): boolean {
  const outcome = outcomeOf(volume, { $case: 'getattr', value: { ino } }, root)
  return outcome.kind === 'errno' || attributesIn(outcome.result)?.nlink === 0
}

const textOf = (value: unknown): string =>
  JSON.stringify(value, (_key, one: unknown) => (typeof one === 'bigint' ? String(one) : one))

const inoOf = (outcome: Outcome): bigint | undefined =>
  outcome.kind === 'result' && outcome.result.$case === 'entry' ? outcome.result.value.attributes?.ino : undefined

/** What both worlds must agree about: not numbers, and not times. */
function summary(outcome: Outcome): string {
  if (outcome.kind === 'errno') return `errno ${outcome.errno}`
  const attributes = attributesIn(outcome.result)
  if (attributes === undefined) return outcome.result.$case
  const { blocks, flags, gid, mode, nlink, rdev, size, uid } = attributes
  return textOf({ $case: outcome.result.$case, blocks, flags, gid, mode, nlink, rdev, size, uid })
}
