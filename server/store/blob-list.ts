import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from './file-io.ts'

export interface BlobSize {
  readonly blob: bigint
  readonly size: number
}

/** Blobs with contents, in order; those from `next` on were not looked at. */
export interface BlobList {
  readonly blobs: readonly BlobSize[]
  readonly next: bigint | undefined
}

/** [from, to); `to` undefined: to the end. */
export interface BlobSpan {
  readonly from: bigint
  readonly to: bigint | undefined
}

export const isWithin = (blob: bigint, span: BlobSpan): boolean =>
  blob >= span.from && (span.to === undefined || blob < span.to)

/** Goes through the folders of `BlobFiles`. Not at one moment: see `withSizes`. */
export async function listBlobs(dir: string, span: BlobSpan, countMax: number): Promise<BlobList> {
  const blobs: BlobSize[] = []
  for await (const { folder, first } of foldersIn(dir, span)) {
    for (const name of await namesIn(folder)) {
      const blob = first + BigInt(`0x${name}`)
      if (!isWithin(blob, span)) continue
      if (blobs.length >= countMax) return { blobs, next: blob }
      const size = await sizeOf(join(folder, name))
      if (size > 0) blobs.push({ blob, size })
    }
  }
  return { blobs, next: undefined }
}

/** The same list with other sizes for some blobs: 0 for one that is not there. */
export function withSizes(list: BlobList, span: BlobSpan, sizes: ReadonlyMap<bigint, number>): BlobList {
  if (sizes.size === 0) return list
  const all = new Map(list.blobs.map(({ blob, size }) => [blob, size]))
  const looked = { from: span.from, to: list.next ?? span.to }
  for (const [blob, size] of sizes) if (isWithin(blob, looked)) all.set(blob, size)
  const blobs = [...all].filter(([, size]) => size > 0).map(([blob, size]) => ({ blob, size }))
  return { blobs: blobs.sort((a, b) => (a.blob < b.blob ? -1 : 1)), next: list.next }
}

/** The folders that may hold blobs of the span, in order, with the number of the first blob each could hold. */
async function* foldersIn(dir: string, span: BlobSpan): AsyncGenerator<{ folder: string; first: bigint }> {
  for (const high of await namesIn(dir)) {
    const base = BigInt(`0x${high}`) << 24n
    if (!overlaps(base, 1n << 24n, span)) continue
    for (const middle of await namesIn(join(dir, high))) {
      const first = base + (BigInt(`0x${middle}`) << 12n)
      if (overlaps(first, 1n << 12n, span)) yield { folder: join(dir, high, middle), first }
    }
  }
}

const overlaps = (first: bigint, count: bigint, { from, to }: BlobSpan): boolean =>
  first + count > from && (to === undefined || first < to)

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort()
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 0 // deleted since it was named
    throw error
  }
}
