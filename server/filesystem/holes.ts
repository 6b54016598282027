import { decodeHoles, encodeHoles, type Run, type Runs } from '../store/holes-record.ts'
import { holesKey } from '../store/keys.ts'
import type { Inode } from '../store/records.ts'
import type { Draft } from './draft.ts'
import type { View } from './view.ts'

/**
 * Where a file has holes: blocks that were never written, or were punched out. Known for files with a blob; a file that
 * was written from its beginning to its end has none, and no record. A hole always reads as zeros; zeros may be data.
 */
export const holeBlockBytes = 4096

/** Holes of one file, at most: the record is written with each change of them. With more, the smallest are data. */
export const holesMax = 512

export const blocksOf = (bytes: number): number => Math.ceil(bytes / holeBlockBytes)
const blockAt = (offset: number): number => Math.floor(offset / holeBlockBytes)

export function loadHoles(view: View, ino: bigint, inode: Inode): Runs {
  const value = inode.holes === 0 ? undefined : view.get(holesKey(ino))
  return value === undefined ? [] : decodeHoles(value)
}

/** @returns how many blocks they are: Inode.holes */
export function saveHoles(draft: Draft, ino: bigint, inode: Inode, runs: Runs): number {
  const kept = bounded(runs)
  if (kept.length > 0) draft.put(holesKey(ino), encodeHoles(kept))
  else if (inode.holes > 0) draft.delete(holesKey(ino))
  return kept.reduce((sum, [from, to]) => sum + to - from, 0)
}

/** After a write of [offset, end) to a file that was `inode.size` long: what it left out is a hole, what it wrote is not. */
export function holesAfterWrite(draft: Draft, ino: bigint, inode: Inode, offset: number, end: number): number {
  const [gapFrom, gapTo] = [blocksOf(inode.size), blockAt(offset)]
  if (inode.holes === 0 && gapFrom >= gapTo) return 0
  const old = loadHoles(draft, ino, inode)
  const next = without(withRun(old, [gapFrom, gapTo]), [blockAt(offset), blocksOf(end)])
  return same(old, next) ? inode.holes : saveHoles(draft, ino, inode, next)
}

/** After the file has become `size` bytes long: what it grew by is a hole. */
export function holesAfterResize(draft: Draft, ino: bigint, inode: Inode, size: number): number {
  const [before, after] = [blocksOf(inode.size), blocksOf(size)]
  if (after === before || (inode.holes === 0 && after < before)) return inode.holes
  const old = loadHoles(draft, ino, inode)
  return saveHoles(draft, ino, inode, after > before ? withRun(old, [before, after]) : without(old, [after, before]))
}

export function withRun(runs: Runs, [from, to]: Run): Runs {
  if (from >= to) return runs
  const touching = runs.filter((run) => run[1] >= from && run[0] <= to)
  const joined: Run = [Math.min(from, ...touching.map((run) => run[0])), Math.max(to, ...touching.map((run) => run[1]))]
  return [...runs.filter((run) => run[1] < from), joined, ...runs.filter((run) => run[0] > to)]
}

export function without(runs: Runs, ...taken: Runs): Runs {
  return taken.reduce(withoutOne, runs)
}

function withoutOne(runs: Runs, [from, to]: Run): Runs {
  if (from >= to) return runs
  return runs.flatMap((run): Run[] => {
    if (run[1] <= from || run[0] >= to) return [run]
    const [before, after]: [Run, Run] = [
      [run[0], from],
      [to, run[1]],
    ]
    return [before, after].filter(([start, end]) => start < end)
  })
}

/** The least holes are given up first, of equal ones the foremost: on every run the same. */
function bounded(runs: Runs): Runs {
  if (runs.length <= holesMax) return runs
  const bySize = runs.map(([from, to], index) => ({ index, blocks: to - from }))
  bySize.sort((a, b) => a.blocks - b.blocks || a.index - b.index)
  const dropped = new Set(bySize.slice(0, runs.length - holesMax).map(({ index }) => index))
  return runs.filter((_, index) => !dropped.has(index))
}

const same = (a: Runs, b: Runs): boolean =>
  a.length === b.length && a.every(([from, to], index) => b[index]?.[0] === from && b[index]?.[1] === to)
