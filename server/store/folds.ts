import { mkdirSync, readdirSync, readFileSync, statSync, unlinkSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { Seq } from '../../proto/ids.ts'
import type { TouchedSet } from './touched.ts'

/** What a forgotten part of the journal had changed, in a file. */
interface Fold {
  readonly path: string
  readonly base: Seq
  readonly last: Seq
  readonly bytes: number
}

/** With more than this the oldest is forgotten: who has been away for longer compares everything. */
const foldBytesMax = 64 << 20

/**
 * What is left of journal segments that were dropped (S14): the keys and ranges they touched. `GENERATION-BASE-LAST.fold`
 * holds a crc32 and an encoded `TouchedSet` of the entries base + 1 to last.
 */
export class Folds {
  readonly #dir: string
  /** invariant: each begins where the one before ends */
  #folds: Fold[] = []

  /** Folds that do not lead up to `journalBase` are of no use, and removed. */
  constructor(dir: string, generation: number, journalBase: Seq) {
    this.#dir = dir
    mkdirSync(dir, { recursive: true })
    const found = readdirSync(dir).sort()
    let expected = journalBase
    for (const name of found.toReversed()) {
      const path = join(dir, name)
      const [, of, base, last] = /^([0-9a-f]{8})-(\d+)-(\d+)\.fold$/.exec(name) ?? []
      if (Number.parseInt(of ?? '0', 16) === generation && Number(last) === expected) {
        expected = Number(base) as Seq
        this.#folds.unshift({ path, base: expected, last: Number(last) as Seq, bytes: statSync(path).size })
      } else unlinkSync(path)
    }
  }

  /** On the disk when the promise is kept. */
  async add(generation: number, span: { readonly base: Seq; readonly last: Seq }, touched: TouchedSet): Promise<void> {
    const encoded = touched.encode()
    const check = Buffer.alloc(4)
    check.writeUInt32BE(crc32(encoded))
    const [base, last] = [span.base, span.last].map((seq) => String(seq).padStart(16, '0'))
    const path = join(this.#dir, `${generation.toString(16).padStart(8, '0')}-${base}-${last}.fold`)
    const handle = await open(`${path}.new`, 'w')
    try {
      await handle.writev([check, encoded])
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(`${path}.new`, path)
    this.#folds.push({ path, ...span, bytes: encoded.length + 4 })
    this.#bound()
  }

  /** Is all that is folded after `after` still known? */
  reachTo(after: Seq): boolean {
    const oldest = this.#folds[0]
    return oldest !== undefined && oldest.base <= after
  }

  /** What is folded after `after`, a part at each step. @throws when a fold is damaged */
  *collect(after: Seq, touched: TouchedSet): Generator<void> {
    for (const fold of this.#folds.filter(({ last }) => last > after)) {
      const bytes = readFileSync(fold.path)
      const encoded = bytes.subarray(4)
      if (bytes.length < 4 || bytes.readUInt32BE() !== crc32(encoded)) throw new Error(`${fold.path} is damaged`)
      yield* touched.addEncoded(encoded)
    }
  }

  clear(): void {
    for (const fold of this.#folds.splice(0)) unlinkSync(fold.path)
  }

  #bound(): void {
    let bytes = this.#folds.reduce((sum, fold) => sum + fold.bytes, 0)
    while (bytes > foldBytesMax) {
      const oldest = this.#folds.shift()
      if (oldest === undefined) return
      bytes -= oldest.bytes
      unlinkSync(oldest.path)
    }
  }
}
