/** Identifiers that every part shares. Each is made in one place, where its range is checked. */

declare const brand: unique symbol
export type Branded<T, Name extends string> = T & { readonly [brand]: Name }

/** A member's name in the directory, chosen by its operator: `s1`. */
export type NodeId = Branded<string, 'NodeId'>

/** One start of one process. Never used again: whoever restarts is somebody else (S20). */
export type Incarnation = Branded<string, 'Incarnation'>

/** Place in a journal, from 1; 0 stands before the first entry. 2^53 last 285 years at a million a second. */
export type Seq = Branded<number, 'Seq'>

/** A reign of one primary; each new primary, and each change of the in-sync set, has a greater one. */
export type Epoch = Branded<number, 'Epoch'>

/** A key of the store, as a string of bytes (one UTF-16 unit, 0 to 255, a byte), so that maps and order come for free. */
export type Key = Branded<string, 'Key'>

export const nodeId = (name: string): NodeId => {
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(name)) throw new RangeError(`a node is named with a-z, 0-9 and -: ${name}`)
  return name as NodeId
}

export const incarnation = (text: string): Incarnation => text as Incarnation

const counted = (value: number, what: string): number => {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${what} must be a whole number, was ${value}`)
  return value
}

export const seq = (value: number): Seq => counted(value, 'a sequence') as Seq
export const epoch = (value: number): Epoch => counted(value, 'an epoch') as Epoch
export const key = (bytes: string): Key => bytes as Key
