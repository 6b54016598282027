import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Epoch, Seq } from '../../proto/ids.ts'
import type { Log, Opened } from '../../replication/ports.ts'
import { Blobs } from './blobs.ts'
import { decodeBody } from './body.ts'
import { isOutOfSpace } from './file-io.ts'
import { Folds } from './folds.ts'
import { Journal, type JournalFound } from './journal.ts'
import type { IsSound } from './key-slices.ts'
import { KeyState } from './key-state.ts'
import { demandLongBlobs, probeName } from './longest-blob.ts'
import { MetaFile, storeFormat } from './meta-file.ts'
import type { Parts, StoreLimits } from './parts.ts'
import { Pending } from './pending.ts'
import { effectsOf, redo, wholeBody } from './redo.ts'
import { ResyncLog } from './resync-log.ts'
import { SpaceGauge } from './space-gauge.ts'
import { Staging } from './staging.ts'
import { readPosition, type StoredPosition } from './state-writer.ts'
import { BlockSums, sumsPrefix } from './sums.ts'
import { lengthOf } from './touched.ts'

export interface OpeningOptions {
  readonly bootId: string
  readonly log: Log
  readonly isSound: IsSound
  readonly limits: StoreLimits
}

export interface OpenedStore {
  readonly parts: Parts
  readonly opened: Opened
  /** What level has. */
  readonly stored: Seq
}

export const resyncPath = (dir: string): string => join(dir, 'resync')

/**
 * Opens or makes a store: takes its lock, looks what was lost, and brings state and journal together.
 *
 * @throws when another process has it open, its format is newer than ours, its file system can't hold long files, or it is
 *   damaged beyond what a resync mends
 */
export async function openStore(dir: string, options: OpeningOptions): Promise<OpenedStore> {
  const metaPath = join(dir, 'meta')
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  if (existsSync(metaPath))
    MetaFile.open(metaPath).close() // a newer format: before anything is touched
  else refuseForeign(dir)
  const gauge = new SpaceGauge(dir, options.limits.reserveBytes)
  const keys = await openKeys(join(dir, 'state'), gauge)
  try {
    demandLongBlobs(dir)
    const meta = existsSync(metaPath) ? MetaFile.open(metaPath) : newMeta(metaPath, options.bootId)
    return await openLocked(dir, options, { keys, meta, gauge })
  } catch (error) {
    await keys.close()
    throw error
  }
}

/** A store must be opened on a full disk, too: else nothing in it could be removed. */
async function openKeys(path: string, gauge: SpaceGauge): Promise<KeyState> {
  try {
    return await KeyState.open(path)
  } catch (error) {
    if (!isOutOfSpace(error) || !gauge.dropBallast()) throw error
    return await KeyState.open(path)
  }
}

/**
 * What may be there when `meta` is not: level and the probe, which come first, if we died while making the store; and what
 * a new ext4 has in its top directory: a store may have a disk of its own.
 */
const expected: ReadonlySet<string> = new Set(['state', probeName, 'lost+found'])

function refuseForeign(dir: string): void {
  const foreign = readdirSync(dir).filter((name) => !expected.has(name))
  if (foreign.length === 0) return
  throw new Error(`${dir} is no store: it has ${foreign[0]} and no meta. Nothing was changed. Name an empty folder.`)
}

const newMeta = (path: string, bootId: string): MetaFile =>
  MetaFile.create(path, {
    format: storeFormat,
    bootId,
    openings: 0,
    clean: true,
    amnesia: false,
    epoch: 0 as Epoch,
    durable: 0 as Seq,
    resyncSteps: 0,
  })

async function openLocked(
  dir: string,
  options: OpeningOptions,
  { keys, meta, gauge }: Pick<Parts, 'gauge' | 'keys' | 'meta'>,
): Promise<OpenedStore> {
  const { log, limits, isSound, bootId } = options
  const hostDown = !meta.meta.clean && meta.meta.bootId !== bootId
  const found = Journal.open(join(dir, 'journal'), limits.segmentBytes)
  const { journal } = found
  const position = readPosition(keys)
  const staging = Staging.open(join(dir, 'staging'), limits.chunkBytes)
  const makeRoom = () => {
    staging.shrink()
    return gauge.dropBallast()
  }
  const blobs = new Blobs(join(dir, 'blobs'), makeRoom)
  const sums = new BlockSums((key) => keys.get(key))
  const state = { keys, blobs, sums }
  const damaged = found.end === 'damage' || (found.end === 'torn' && meta.meta.clean)
  const lost = hostDown || damaged
  if (found.end !== 'whole') log('store.journal-cut', { dir, last: journal.last.seq, found: found.end })
  meta.update({ bootId, openings: (meta.meta.openings ?? 0) + 1, clean: false, amnesia: meta.meta.amnesia || lost })
  meta.syncNow()
  if (lost) cutLostPayloads(journal, staging, Math.max(journal.noted, position.applied) as Seq)

  const { stored, torn } = reconcile({ keys, journal }, found, position)
  if (torn) {
    log('store.journal-contradicts-state', {
      dir,
      position,
      last: journal.last,
      base: journal.base,
      noted: journal.noted,
    })
    await keys.clearOwn(sumsPrefix)
    meta.update({ amnesia: true, durable: 0 as Seq })
    meta.syncNow()
  }
  const redone = Math.min(journal.last.seq, Math.max(journal.noted, stored)) as Seq
  const from = lost ? (Math.min(meta.meta.durable, stored) as Seq) : stored
  if (!torn) redo(state, journal, staging, { from: Math.max(from, journal.base.seq) as Seq, to: redone })
  const parts: Parts = {
    ...state,
    dir,
    log,
    limits,
    isSound,
    meta,
    journal,
    staging,
    gauge,
    makeRoom,
    folds: new Folds(join(dir, 'folds'), journal.generation, journal.base.seq),
    pending: new Pending(keys),
    committed: redone,
    soundAfter: journal.last.seq,
    resync: openResync(dir, position, lost ? meta.meta.resyncSteps : Number.POSITIVE_INFINITY),
    retainFrom: Number.POSITIVE_INFINITY as Seq,
    torn,
    relied: 0 as Seq,
    blobsSynced: 0 as Seq,
  }
  adoptEntries(parts, stored)
  gauge.loadBallast()
  return { parts, opened: openedOf(parts, torn ? beyond(journal, position) : parts.committed), stored }
}

const openResync = (dir: string, position: StoredPosition, stepsMax: number): ResyncLog | undefined =>
  ResyncLog.open(resyncPath(dir), (id) => (id === position.resyncId ? Math.min(position.resyncSteps, stepsMax) : 0))

function openedOf({ meta: { meta }, journal, committed, resync }: Parts, applied: Seq): Opened {
  return {
    epoch: Math.max(meta.epoch, journal.last.epoch) as Epoch,
    last: journal.last,
    base: journal.base,
    history: [...journal.history],
    applied: Math.max(applied, committed) as Seq,
    durable: Math.min(meta.durable, committed) as Seq,
    amnesia: meta.amnesia,
    resync: resync?.mark,
    opening: meta.openings,
  }
}

/** An entry whose payload did not get to the disk is lost, and so is what follows. What was applied needs none. */
function cutLostPayloads(journal: Journal, staging: Staging, applied: Seq): void {
  let good = journal.last.seq
  journal.entries((applied + 1) as Seq, (record) => {
    if (wholeBody(record, staging) !== undefined) return true
    good = (record.mark.seq - 1) as Seq
    return false
  })
  journal.cut(good)
}

/**
 * What level is known to have, in the journal's own count. `torn`: the two contradict each other, since the journal has
 * lost entries that are in level, or level is another one. Then nothing that could be redone would help: everything
 * must be compared, which is what `applied` beyond the journal's end tells the others. Nothing is put right here, so
 * that it is found again at each opening until the journal begins anew.
 */
function reconcile(
  { keys, journal }: Pick<Parts, 'journal' | 'keys'>,
  found: JournalFound,
  position: StoredPosition,
): { readonly stored: Seq; readonly torn: boolean } {
  if (position.generation < journal.generation && found.carry !== undefined) {
    // It began anew and no batch came after that: what was not in level then was kept with it.
    for (const effect of decodeBody(found.carry) ?? []) {
      if (effect.kind === 'put') keys.set(effect.key, effect.value)
      else if (effect.kind === 'delete') keys.set(effect.key, undefined)
    }
    return { stored: journal.base.seq, torn: journal.noted > journal.last.seq }
  }
  const { last, base, noted } = journal
  const { generation, applied } = position
  const fits = generation === journal.generation && applied >= base.seq && applied <= last.seq && noted <= last.seq
  return { stored: fits ? applied : last.seq, torn: !fits }
}

const beyond = ({ last, noted }: Journal, { applied }: StoredPosition): Seq =>
  Math.max(last.seq + 1, noted, applied) as Seq

/** Entries that are not in level: their payloads are needed, and those that are not committed are pending. */
function adoptEntries({ journal, staging, pending, committed }: Parts, stored: Seq): void {
  journal.entries((stored + 1) as Seq, (record) => {
    const { mark, head, place, bodyLength } = record
    if (bodyLength > head.length) staging.adopt(mark.seq, place, bodyLength - head.length)
    if (mark.seq <= committed) return true
    const touches = effectsOf(record)
    const blobBytes = touches.reduce((sum, effect) => sum + (effect.kind === 'blob.write' ? lengthOf(effect) : 0), 0)
    pending.add({ seq: mark.seq, body: undefined, effects: undefined, parts: undefined, touches, blobBytes })
    return true
  })
}
