import type { Key } from '../../proto/ids.ts'
import type { Effect } from '../../server/store/effect.ts'
import { text, untext } from './body.ts'
import type { State } from './state.ts'

/** Who may answer writes to an object by itself, and under which number. */
export interface Hold {
  readonly session: string
  readonly number: number
}

/** A request for a hold that was given one says so behind its result. */
const mark = '/'

export const holdKey = (object: string): Key => `w/${object}` as Key
const objectOfKey = (key: string): string | undefined => (key.startsWith('w/') ? key.slice(2) : undefined)

export const putHold = (object: string, { session, number }: Hold): Effect => ({
  kind: 'put',
  key: holdKey(object),
  value: text(`${session}|${number}`),
})

export const endHold = (object: string): Effect => ({ kind: 'delete', key: holdKey(object) })

export function holdIn(state: Pick<State, 'keys'>, object: string): Hold | undefined {
  const value = state.keys.get(holdKey(object))
  return value === undefined ? undefined : decodeHold(value)
}

export function decodeHold(value: Uint8Array): Hold {
  const [session = '', number] = untext(value).split('|')
  return { session, number: Number(number) }
}

/** Of which objects these give or end a hold. */
export function holdsIn(effects: readonly Effect[]): { readonly object: string; readonly hold: Hold | undefined }[] {
  return effects.flatMap((effect) => {
    const object = effect.kind === 'put' || effect.kind === 'delete' ? objectOfKey(effect.key) : undefined
    if (object === undefined) return []
    return [{ object, hold: effect.kind === 'put' ? decodeHold(effect.value) : undefined }]
  })
}

export const heldObjects = (state: Pick<State, 'keys'>, session: string): string[] =>
  [...state.keys].flatMap(([key, value]) => {
    const object = objectOfKey(key)
    return object !== undefined && decodeHold(value).session === session ? [object] : []
  })

export const withNumber = (result: string, number: number): string => `${result}${mark}${number}`

export function splitResult(result: string): { readonly result: string; readonly number: number | undefined } {
  const [plain = '', number] = result.split(mark)
  return { result: plain, number: number === undefined ? undefined : Number(number) }
}

/** Slots in which what was held back is sent, and holds are given back: they never wait behind other requests. */
export const flushSlots = 100
export const releaseSlots = 200
