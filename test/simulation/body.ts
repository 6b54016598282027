import type { Key } from '../../proto/ids.ts'
import type { Effect } from '../../server/store/effect.ts'

/**
 * Bodies of entries and slices as the simulation's storage writes them. Entries travel through a simulated network as
 * the same objects, so what was decoded once is remembered.
 */
const decoded = new WeakMap<Uint8Array, readonly Effect[]>()
const checks = new WeakMap<Uint8Array, number>()

type Plain = readonly [kind: string, ...rest: (string | number)[]]

export function encodeBody(effects: readonly Effect[]): Uint8Array {
  const body = text(JSON.stringify(effects.map(toPlain)))
  decoded.set(body, effects)
  return body
}

export function decodeBody(body: Uint8Array): readonly Effect[] {
  const known = decoded.get(body)
  if (known !== undefined) return known
  const effects = body.length === 0 ? [] : (JSON.parse(untext(body)) as Plain[]).map(fromPlain)
  decoded.set(body, effects)
  return effects
}

/** What can be said of a body is found out once, however many members and checkers ask. */
export function ofBody<T>(find: (effects: readonly Effect[]) => T): (body: Uint8Array) => T {
  const known = new WeakMap<Uint8Array, { readonly found: T }>()
  return (body) => {
    const before = known.get(body)
    if (before !== undefined) return before.found
    const found = find(decodeBody(body))
    known.set(body, { found })
    return found
  }
}

/** FNV-1a, 32 bits. */
export function checkBody(body: Uint8Array): number {
  const known = checks.get(body)
  if (known !== undefined) return known
  const check = hashBytes(body)
  checks.set(body, check)
  return check
}

export function hashBytes(bytes: Uint8Array, from = 0x811c9dc5): number {
  let hash = from
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}

export const text = (from: string): Uint8Array => Buffer.from(from, 'latin1')
export const untext = (from: Uint8Array): string =>
  (from instanceof Buffer ? from : Buffer.from(from.buffer, from.byteOffset, from.byteLength)).toString('latin1')

function toPlain(effect: Effect): Plain {
  switch (effect.kind) {
    case 'put':
      return ['put', effect.key, untext(effect.value)]
    case 'delete':
      return ['delete', effect.key]
    case 'blob.write':
      return ['write', String(effect.blob), effect.offset, untext(effect.data)]
    case 'blob.truncate':
      return ['truncate', String(effect.blob), effect.size]
    case 'blob.zero':
      return ['zero', String(effect.blob), effect.offset, effect.count]
    case 'blob.delete':
      return ['remove', String(effect.blob)]
  }
}

function fromPlain([kind, first, second, third]: Plain): Effect {
  if (kind === 'put') return { kind: 'put', key: first as Key, value: text(second as string) }
  if (kind === 'delete') return { kind: 'delete', key: first as Key }
  const blob = BigInt(first as string)
  if (kind === 'write') return { kind: 'blob.write', blob, offset: second as number, data: text(third as string) }
  if (kind === 'truncate') return { kind: 'blob.truncate', blob, size: second as number }
  if (kind === 'zero') return { kind: 'blob.zero', blob, offset: second as number, count: third as number }
  return { kind: 'blob.delete', blob }
}
