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

/** Many clients that don't wait, on slow disks and links: whatever has a moment to go wrong in, has it longer. */
export const busy = {
  members: 3,
  minInSync: 1,
  clients: 6,
  client: {
    slots: 3,
    readShare: 0.5,
    flushShare: 0.02,
    renewShare: 0,
    thinkMs: 3,
    forgetful: 1,
    caches: 0,
    freezeMs: 1000,
  },
  network: { loss: 0, duplicate: 0, delayMs: 2, jitterMs: 10, inOrder: true, bytesPerMs: 100_000 },
  storage: { keepEntries: 1000, foldMax: 1000, keepPayloads: 1000, flushMs: 5, readMs: 40 },
} satisfies Partial<Profile>
