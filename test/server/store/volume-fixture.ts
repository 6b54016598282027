import { cpSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { encodeBody } from '../../../server/store/body.ts'
import { type StoreOptions, VolumeStore } from '../../../server/store/volume-store.ts'
import type { SuiteStorage } from './storage-suite.ts'

/** No background work of its own accord: tests say when. */
export const quiet: StoreOptions = {
  bootId: 'boot 1',
  log: () => undefined,
  valueIsSound: () => true,
  limits: { checkpointMs: 1 << 30, reserveBytes: 1 << 20 },
}

export async function newDir(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'banyan-store-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  return dir
}

export async function openStore(t: Test, dir: string, options: Partial<StoreOptions> = {}): Promise<VolumeStore> {
  const limits = { ...quiet.limits, ...options.limits }
  const store = await VolumeStore.open(dir, { ...quiet, ...options, limits })
  t.teardown(() => store.close())
  return store
}

/** What kill -9 leaves: the files as the system has them at this moment (only level's own thread goes on meanwhile). */
export async function copyOf(t: Test, dir: string): Promise<string> {
  const copy = join(await newDir(t), 'store')
  cpSync(dir, copy, { recursive: true })
  return copy
}

export function suited(t: Test, dir: string, store: VolumeStore, options: Partial<StoreOptions> = {}): SuiteStorage {
  return {
    storage: store,
    encode: encodeBody,
    get: (key) => store.committed.get(key),
    blob: (blob) => store.readBlob(blob, 0, 1 << 30),
    settled: (answer) => answer,
    reopen: async () => {
      const copy = await copyOf(t, dir)
      return suited(t, copy, await openStore(t, copy, options), options)
    },
  }
}

export async function newSuited(t: Test, options: Partial<StoreOptions> = {}): Promise<SuiteStorage> {
  const dir = join(await newDir(t), 'store')
  return suited(t, dir, await openStore(t, dir, options), options)
}
