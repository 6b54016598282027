import type { Key } from '../../proto/ids.ts'
import type { Effect } from '../../server/store/effect.ts'
import { ofBody, text, untext } from './body.ts'
import { endHold, holdIn } from './holds.ts'
import type { Model } from './linearizability.ts'
import { blobMax, type State, sized } from './state.ts'

/** What clients of a simulated volume do. An object's first letter says what it is: register, list, directory, blob. */
export type Op =
  | { readonly kind: 'read'; readonly object: string }
  | { readonly kind: 'write'; readonly object: string; readonly value: string }
  | { readonly kind: 'compareAndSet'; readonly object: string; readonly expected: string; readonly value: string }
  | { readonly kind: 'append'; readonly object: string; readonly item: string }
  | { readonly kind: 'create'; readonly object: string; readonly name: string; readonly id: string }
  | { readonly kind: 'remove'; readonly object: string; readonly name: string }
  | { readonly kind: 'rename'; readonly object: string; readonly from: string; readonly to: string }
  | { readonly kind: 'writeAt'; readonly object: string; readonly offset: number; readonly data: string }
  | { readonly kind: 'truncate'; readonly object: string; readonly size: number }
  /** Gives back a hold: nothing that anybody could see. */
  | { readonly kind: 'release'; readonly object: string; readonly number: number }

export const objects = ['r0', 'r1', 'r2', 'l0', 'l1', 'd0', 'b1', 'b2'] as const
export const names = ['a', 'b', 'c', 'd'] as const

export interface Outcome {
  readonly effects: readonly Effect[]
  readonly result: string
}

/** What a change does to a state. Failures are results like others (R30). */
export function execute(view: State, op: Op): Outcome {
  switch (op.kind) {
    case 'read':
      return { effects: [], result: readObject(view, op.object) }
    case 'write':
      return ok(put(op.object, op.value))
    case 'compareAndSet':
      return get(view, op.object) === op.expected ? ok(put(op.object, op.value)) : failed('differs')
    case 'append':
      return ok(put(op.object, `${get(view, op.object)},${op.item}`))
    case 'create':
      return get(view, dentry(op, op.name)) === '' ? ok(put(dentry(op, op.name), op.id)) : failed('EEXIST')
    case 'remove':
      return get(view, dentry(op, op.name)) === '' ? failed('ENOENT') : ok(remove(dentry(op, op.name)))
    case 'rename': {
      const moved = get(view, dentry(op, op.from))
      if (moved === '') return failed('ENOENT')
      return op.from === op.to ? ok() : ok(remove(dentry(op, op.from)), put(dentry(op, op.to), moved))
    }
    case 'writeAt':
      return ok({ kind: 'blob.write', blob: blobOf(op.object), offset: op.offset, data: text(op.data) })
    case 'truncate':
      if (op.size === 0) return ok({ kind: 'blob.delete', blob: blobOf(op.object) })
      return ok({ kind: 'blob.truncate', blob: blobOf(op.object), size: op.size })
    case 'release':
      return holdIn(view, op.object)?.number === op.number ? ok(endHold(op.object)) : ok()
  }
}

/** What a read of an object depends on (R19). */
export function touchedBy(object: string): { readonly keys: readonly Key[]; readonly blob: bigint | undefined } {
  if (object.startsWith('b')) return { keys: [], blob: blobOf(object) }
  if (object.startsWith('d')) return { keys: names.map((name) => `${object}/${name}` as Key), blob: undefined }
  return { keys: [object as Key], blob: undefined }
}

/** The same once more, in a few lines and on its own: what the results of clients are judged by. */
export const model: Model<Op> = {
  initial: '',
  step(state, op) {
    switch (op.kind) {
      case 'read':
        return { state, result: state }
      case 'write':
        return { state: op.value, result: 'ok' }
      case 'compareAndSet':
        return state === op.expected ? { state: op.value, result: 'ok' } : { state, result: 'differs' }
      case 'append':
        return { state: `${state},${op.item}`, result: 'ok' }
      case 'create':
      case 'remove':
      case 'rename':
        return stepDirectory(state, op)
      case 'writeAt': {
        const grown = state.padEnd(op.offset + op.data.length, '\0')
        return { state: grown.slice(0, op.offset) + op.data + grown.slice(op.offset + op.data.length), result: 'ok' }
      }
      case 'truncate':
        return { state: state.slice(0, op.size).padEnd(op.size, '\0'), result: 'ok' }
      case 'release':
        return { state, result: 'ok' }
    }
  },
}

type DirectoryOp = Op & { readonly kind: 'create' | 'remove' | 'rename' }

function stepDirectory(state: string, op: DirectoryOp): { readonly state: string; readonly result: string } {
  const entries = new Map(state === '' ? [] : state.split(' ').map((entry) => entry.split('=') as [string, string]))
  const from = op.kind === 'rename' ? op.from : op.name
  const found = entries.get(from)
  if (op.kind === 'create') {
    if (found !== undefined) return { state, result: 'EEXIST' }
    entries.set(from, op.id)
  } else {
    if (found === undefined) return { state, result: 'ENOENT' }
    entries.delete(from)
    if (op.kind === 'rename') entries.set(op.to, found)
  }
  const lines = [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, id]) => `${name}=${id}`)
  return { state: lines.join(' '), result: 'ok' }
}

function readObject(view: State, object: string): string {
  const { keys, blob } = touchedBy(object)
  if (blob !== undefined) return untext(view.blobs.get(blob) ?? new Uint8Array(0))
  if (!object.startsWith('d')) return get(view, object)
  const found = keys.map((key) => [key.slice(object.length + 1), get(view, key)] as const).filter(([, id]) => id !== '')
  return found.map(([name, id]) => `${name}=${id}`).join(' ')
}

const get = (view: State, name: string): string => untext(view.keys.get(name as Key) ?? new Uint8Array(0))
const put = (name: string, value: string): Effect => ({ kind: 'put', key: name as Key, value: text(value) })
const remove = (name: string): Effect => ({ kind: 'delete', key: name as Key })
const dentry = (op: Op, name: string): string => `${op.object}/${name}`
const blobOf = (object: string): bigint => BigInt(object.slice(1))
const ok = (...effects: Effect[]): Outcome => ({ effects, result: 'ok' })
const failed = (result: string): Outcome => ({ effects: [], result })

interface Luck {
  next(): number
  below(bound: number): number
  chance(p: number): boolean
  pick<T>(from: readonly T[]): T
}

/** A change of one of the objects, or a read of it. `id` is used once, so that every effect can be told from others. */
export function randomOp(random: Luck, id: string, readShare: number, lastRead: ReadonlyMap<string, string>): Op {
  const object = random.pick(objects)
  return random.chance(readShare) ? { kind: 'read', object } : randomChange(random, object, id, lastRead)
}

export function randomChange(random: Luck, object: string, id: string, lastRead: ReadonlyMap<string, string>): Op {
  switch (object.charAt(0)) {
    case 'r':
      if (random.chance(0.5)) return { kind: 'write', object, value: id }
      return { kind: 'compareAndSet', object, expected: lastRead.get(object) ?? '', value: id }
    case 'l':
      return { kind: 'append', object, item: id }
    case 'd': {
      const kind = random.pick(['create', 'create', 'remove', 'rename'] as const)
      if (kind === 'create') return { kind, object, name: random.pick(names), id }
      if (kind === 'remove') return { kind, object, name: random.pick(names) }
      return { kind, object, from: random.pick(names), to: random.pick(names) }
    }
    default: {
      if (random.chance(0.2)) return { kind: 'truncate', object, size: random.below(6) * 20 }
      const data = sized(text(`${id}|`.repeat(20)), 8 + random.below(56))
      return { kind: 'writeAt', object, offset: random.below(blobMax / 2), data: untext(data) }
    }
  }
}

/** The inodes that effects change: each object is one. */
export const inosIn: (body: Uint8Array) => ReadonlySet<bigint> = ofBody((effects) => {
  const found = new Set<bigint>()
  for (const effect of effects) {
    const name = 'key' in effect ? effect.key.split('/', 1)[0] : `b${effect.blob}`
    const ino = name === undefined ? undefined : inos.get(name)
    if (ino !== undefined) found.add(ino)
  }
  return found
})

const inos: ReadonlyMap<string, bigint> = new Map(objects.map((name, i) => [name, BigInt(i + 1)]))
export const inoOf = (object: string): bigint => inos.get(object) ?? 0n
export const objectOf = (ino: bigint): string => objects[Number(ino) - 1] ?? ''
