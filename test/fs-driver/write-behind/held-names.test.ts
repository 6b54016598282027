import fc from 'fast-check'
import t from 'tap'
import type { FileCall, Outcome } from '../../../fs-driver/router/file-client.ts'
import { type Removes, removes } from '../../../fs-driver/write-behind/subjects.ts'
import { errnos, FsError } from '../../../proto/errno.ts'
import type { Caller } from '../../../proto/generated/file-service.ts'
import { violations } from '../../../server/filesystem/invariants.ts'
import { attributesIn, HeldDriver, nowNs, serve } from '../../fixtures/held-driver.ts'
import { MemoryVolume } from '../../fixtures/memory-volume.ts'
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
      ...Array<'mkdir'>(7).fill('mkdir'),
      ...Array<'write'>(6).fill('write'),
      ...(['symlink', 'symlink', 'chmod', 'chmod', 'chown', 'chown', 'utimes', 'utimes', 'getattr'] as const),
      ...Array<'lookup'>(4).fill('lookup'),
      ...Array<'unlink'>(6).fill('unlink'),
      ...Array<'rename'>(6).fill('rename'),
      ...Array<'rmdir'>(12).fill('rmdir'),
      ...Array<'flush'>(4).fill('flush'),
    ),
    who: fc.constantFrom('root', 'root', 'root', 'ann', 'ann', 'bob'),
    pick: fc.nat(999),
    other: fc.nat(999),
    bits: fc.constantFrom(0o755, 0o777, 0o700, 0o2775, 0o4755, 0o1777, 0o500),
  }),
  { minLength: 5, maxLength: 90, size: 'max' },
)

const ofRoot = (): Inos => ({ all: [1n], dirs: [1n], places: [] })
/** Sometimes one that is too long. */
const nameOf = (n: number): Buffer => Buffer.from(n % 23 === 22 ? 'x'.repeat(256) : `n${n % 12}`)

/** What was made, in order. */
interface Inos {
  readonly all: bigint[]
  readonly dirs: bigint[]
  /** Where something was made, whatever became of it. */
  readonly places: { readonly parent: bigint; readonly name: Buffer; readonly isDirectory: boolean }[]
}

/** What the act means in a volume where these are the inodes. */
function callOf({ what, pick, other, bits }: Act, { all, dirs, places }: Inos): FileCall | undefined {
  // Often one of the latest: a directory is filled after it was made.
  const one = (inos: readonly bigint[], n: number): bigint =>
    inos[n % 3 === 0 ? n % inos.length : Math.max(0, inos.length - 1 - (n % 4))] ?? 1n
  const ino = one(all, pick)
  const parent = one(dirs, pick)
  const name = nameOf(other)
  // Mostly something that is there, or was.
  const made = places.filter(({ isDirectory }) => isDirectory === (what === 'rmdir'))
  const place = (pick % 5 === 0 ? undefined : made.at(-1 - (pick % Math.min(made.length, 6)))) ?? { parent, name }
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
      return { $case: 'unlink', value: { parent: place.parent, name: place.name } }
    case 'rmdir':
      return { $case: 'rmdir', value: { parent: place.parent, name: place.name } }
    case 'rename': {
      const to = { parent: other % 3 === 0 ? one(dirs, other) : place.parent, name: nameOf(pick) }
      const over = other % 2 === 0 ? to : (made.at(-1 - (other % Math.min(made.length, 4))) ?? to)
      return {
        $case: 'rename',
        value: { parent: place.parent, name: place.name, newParent: over.parent, newName: over.name, flags: 0 },
      }
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
  let all = 0
  const heldBack = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(acts, async (history) => {
      const held = new HeldDriver()
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
          if (there.$case === 'write' && !isFile(plain, there.value.ino)) continue // and that
          // The kernel lets nobody ask for a name who may not search the directory, as it was told last.
          const isSearched = (parent: bigint): boolean => {
            const look: FileCall = { $case: 'lookup', value: { parent, name: Buffer.from('any') } }
            const outcome = outcomeOf(plain, look, caller)
            return outcome.kind !== 'errno' || outcome.errno !== errnos.EACCES
          }
          if (there.$case === 'lookup' && !isSearched(there.value.parent)) continue
          const who = here.$case === 'getattr' ? root : caller
          all++
          if (
            here.$case === 'create' ||
            here.$case === 'mkdir' ||
            here.$case === 'symlink' ||
            here.$case === 'rename'
          ) {
            const { name, parent } = here.value
            await held.run({ $case: 'lookup', value: { parent, name } }, root) // as the kernel does
            if (here.$case === 'rename') {
              const { newName, newParent } = here.value
              await held.run({ $case: 'lookup', value: { parent: newParent, name: newName } }, root)
            }
          }
          const [got, wanted] = [await held.run(here, who), outcomeOf(plain, there, who)]
          const [a, b] = [summary(got), summary(wanted)]
          if (a !== b) throw new Error(`${JSON.stringify(act)}: ${a}, by servers alone ${b}`)
          for (const [at, name] of removes(here) && removes(there) ? placesOf(here, there) : []) {
            // Whatever has become of them: who looks finds the same inodes.
            const look = (parent: bigint): FileCall => ({ $case: 'lookup', value: { parent, name } })
            const [found, expected] = [await held.run(look(at.here), root), outcomeOf(plain, look(at.there), root)]
            const index = inos.there.all.indexOf(inoOf(expected) ?? 0n)
            const [c, d] = [summary(found), summary(expected)]
            if (c !== d || (index !== -1 && inos.here.all[index] !== inoOf(found)))
              throw new Error(`after ${JSON.stringify(act)} ${name.toString()}: ${c}, by servers alone ${d}`)
          }
          const [mine, theirs] = [inoOf(got), inoOf(wanted)]
          if (mine === undefined || theirs === undefined || beginning.includes(act)) continue
          if (inos.here.all.includes(mine)) continue
          if ('parent' in here.value && 'parent' in there.value && 'name' in here.value && 'name' in there.value) {
            const isDirectory = act.what === 'mkdir'
            inos.here.places.push({ parent: here.value.parent, name: here.value.name, isDirectory })
            inos.there.places.push({ parent: there.value.parent, name: there.value.name, isDirectory })
          }
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
        for (const [kind, count] of held.heldBack) heldBack.set(kind, (heldBack.get(kind) ?? 0) + count)
      } finally {
        await held.end()
      }
    }),
    { seed, numRuns: runs },
  )
  t.comment(`of ${all} were answered here: ${[...heldBack].map(([kind, count]) => `${kind} ${count}`).join(', ')}`)
  for (const kind of ['create', 'mkdir', 'symlink', 'write', 'setattr', 'unlink', 'rename', 'lookup', 'getattr'])
    t.ok((heldBack.get(kind) ?? 0) > runs / 100, `${kind} is held back at all`)
  t.ok(heldBack.has('rmdir'), 'rmdir, too')
})

/** A root that is held, in which these were made, and are done. */
async function holding(...names: readonly string[]) {
  const held = new HeldDriver()
  const make = async (name: string): Promise<bigint | undefined> => {
    await held.run({ $case: 'lookup', value: { parent: 1n, name: Buffer.from(name) } }, root)
    const value = { parent: 1n, name: Buffer.from(name), mode: 0o644, umask: 0, flags: 0o201 }
    return inoOf(await held.run({ $case: 'create', value }, root))
  }
  for (const name of ['first', 'second', 'third', ...names]) {
    await make(name)
    await held.rest()
  }
  await held.flush()
  const rename = (name: string, newName: string): Promise<Outcome> => {
    const value = { parent: 1n, name: Buffer.from(name), newParent: 1n, newName: Buffer.from(newName), flags: 0 }
    return held.run({ $case: 'rename', value }, root)
  }
  const find = (name: string): Promise<Outcome> =>
    held.run({ $case: 'lookup', value: { parent: 1n, name: Buffer.from(name) } }, root)
  return { held, make, rename, find }
}

void t.test('servers judge who may look for a name by what was done with the directory before', async (t) => {
  const { held } = await holding()
  const { ann = root } = callers
  const chmod = (ino: bigint, mode: number): Promise<Outcome> => {
    const value = { ino, mode, openForWriting: false, killPrivileges: false, atime: undefined, mtime: undefined }
    return held.run({ $case: 'setattr', value }, root)
  }
  const name = Buffer.from('d')
  await held.run({ $case: 'lookup', value: { parent: 1n, name } }, root)
  const d = inoOf(await held.run({ $case: 'mkdir', value: { parent: 1n, name, mode: 0o700, umask: 0 } }, root)) ?? 0n
  const create = { parent: d, name: Buffer.from('f'), mode: 0o600, umask: 0, flags: 0o201 }
  const f = inoOf(await held.run({ $case: 'create', value: create }, root)) ?? 0n
  await held.flush()
  await chmod(f, 0o640)
  t.equal(held.heldBack.get('setattr'), undefined, 'of a file that is done it goes through')
  await chmod(d, 0o755)
  t.equal(held.heldBack.get('setattr'), 1)
  t.equal(inoOf(await held.run({ $case: 'lookup', value: { parent: d, name: Buffer.from('f') } }, ann)), f)
  await held.end()
})

void t.test('what replaces something that was just made is found under its name', async (t) => {
  const { held, make, rename, find } = await holding('a')
  const a = inoOf(await find('a'))
  await make('b')
  await rename('a', 'b')
  t.equal(held.heldBack.get('rename'), 1)
  t.equal(inoOf(await find('b')), a)
  t.match(await find('a'), { kind: 'errno', errno: errnos.ENOENT })
  await held.end()
})

void t.test('a name that is too long is not just absent', async (t) => {
  const { held, find } = await holding()
  await find('d')
  const mkdir = { parent: 1n, name: Buffer.from('d'), mode: 0o755, umask: 0 }
  const parent = inoOf(await held.run({ $case: 'mkdir', value: mkdir }, root)) ?? 0n
  const look = (name: string): Promise<Outcome> =>
    held.run({ $case: 'lookup', value: { parent, name: Buffer.from(name) } }, root)
  t.match(await look('x'), { kind: 'errno', errno: errnos.ENOENT })
  t.match(await look('x'.repeat(256)), { kind: 'errno', errno: errnos.ENAMETOOLONG })
  await held.end()
})

function outcomeOf(volume: MemoryVolume, call: FileCall, caller: Caller): Outcome {
  try {
    return { kind: 'result', result: serve(volume, call, caller) }
  } catch (error) {
    if (!(error instanceof FsError)) throw error
    return { kind: 'errno', errno: errnos[error.errno] }
  }
}

/** Names that the call takes away or makes, with the directories in both volumes. */
function placesOf(here: Removes, there: Removes): (readonly [{ here: bigint; there: bigint }, Buffer])[] {
  const from = [{ here: here.value.parent, there: there.value.parent }, here.value.name] as const
  if (here.$case !== 'rename' || there.$case !== 'rename') return [from]
  return [from, [{ here: here.value.newParent, there: there.value.newParent }, here.value.newName]]
}

function isFile(volume: MemoryVolume, ino: bigint): boolean {
  const outcome = outcomeOf(volume, { $case: 'getattr', value: { ino } }, root)
  const mode = outcome.kind === 'result' ? attributesIn(outcome.result)?.mode : undefined
  return mode !== undefined && mode >>> 12 === 8
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
