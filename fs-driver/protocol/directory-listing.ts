import type { DirectoryEntry } from '../../proto/generated/file-service.ts'
import { entrySize, putEntry } from './attributes.ts'

const direntHead = 24 // fuse_dirent: ino, off, namelen, type
const dots: readonly Buffer[] = [Buffer.from('.'), Buffer.from('..')]

/** How many entries of usual length fill `sizeBytes`; asking for more would be the server's work for nothing. */
export function entriesIn(sizeBytes: number, withAttributes: boolean): number {
  const usual = 40 + (withAttributes ? entrySize : 0) // a name of 9 to 16 bytes
  return Math.max(8, Math.ceil(sizeBytes / usual))
}

export interface PackedListing {
  readonly data: Buffer
  /** How many of the entries are in `data`. */
  readonly count: number
}

export interface PackHow {
  readonly sizeBytes: number
  readonly withAttributes: boolean
  /**
   * For how long the kernel may use the attributes of an inode; asked for those that are packed. Names are never valid
   * for any time: the kernel dates those of a listing by the moment at which it has read the answer (fs/fuse/readdir.c),
   * so that they would outlive an INC_EPOCH which came before.
   */
  readonly validMs?: (ino: bigint) => number
}

const never = (): number => 0

/**
 * The answer to READDIR, or READDIRPLUS (`withAttributes`), of at most `sizeBytes`: as many of `entries` as fit. To the
 * kernel, nothing in `data` says: this is the end. An entry's offset is the server's cookie, which continues after it.
 */
export function packListing(
  entries: readonly DirectoryEntry[],
  { sizeBytes, withAttributes, validMs = never }: PackHow,
): PackedListing {
  const head = withAttributes ? entrySize : 0
  const sizeOf = ({ name }: DirectoryEntry) => head + Math.ceil((direntHead + name.length) / 8) * 8
  let [count, total] = [0, 0]
  for (const entry of entries) {
    if (total + sizeOf(entry) > sizeBytes) break
    total += sizeOf(entry)
    count++
  }
  const data = Buffer.alloc(total)
  const view = new DataView(data.buffer, data.byteOffset, total)
  let at = 0
  for (const entry of entries.slice(0, count)) {
    const { name, attributes } = entry
    // With nodeid 0 (`.`, `..`, one removed meanwhile) the kernel takes the name alone, and forgets nothing later.
    if (withAttributes && attributes !== undefined && !dots.some((dot) => dot.equals(name))) {
      putEntry(view, at, attributes, { nameMs: 0, attributesMs: validMs(attributes.ino) })
    }
    view.setBigUint64(at + head, entry.ino, true)
    view.setBigUint64(at + head + 8, entry.cookie, true)
    view.setUint32(at + head + 16, name.length, true)
    view.setUint32(at + head + 20, entry.type, true)
    data.set(name, at + head + direntHead)
    at += sizeOf(entry)
  }
  return { data, count }
}
