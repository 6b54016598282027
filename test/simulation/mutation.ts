import type { MixName, Profile } from './mixes.ts'

/** A fault, put into a copy of the program on purpose, and what must notice it. */
export interface Mutation {
  readonly name: string
  /** What of the protocol notes or the decisions is broken. */
  readonly rule: string
  readonly edits: readonly Edit[]
  /** The weather in which it is looked for, with how many seeds at most. */
  readonly faults: MixName
  /** What the weather is like besides, if that helps to see it soon. */
  readonly profile?: Partial<Profile>
  readonly within: number
  /** The checkers that may see it first. */
  readonly noticedBy: readonly string[]
}

export interface Edit {
  readonly file: string
  readonly find: string
  readonly replace: string
}

export const core = (file: string, find: string, replace: string): Edit => ({
  file: `replication/${file}`,
  find,
  replace,
})
export const leases = (file: string, find: string, replace: string): Edit => ({
  file: `server/session/${file}`,
  find,
  replace,
})
export const model = (file: string, find: string, replace: string): Edit => ({
  file: `test/simulation/${file}`,
  find,
  replace,
})
