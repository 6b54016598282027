import { open as openFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Level } from 'level'
import type { Key } from '../../proto/ids.ts'
import type { View } from '../filesystem/view.ts'
import { codeOf, syncDirectory } from './file-io.ts'
import { type KeySpan, RangeReader } from './range-reader.ts'
import type { LocalChange } from './sums.ts'

/** What was put, or undefined for what was deleted. */
type Overlay = Map<Key, Uint8Array | undefined>

type Database = Level<Buffer, Uint8Array>

/** What an entry of an overlay costs beside its bytes. */
const overheadBytes = 96

/**
 * Committed keys: level, and over it what is not in level yet. A change is visible at once; `seal` closes what has
 * gathered, and `write` brings it to level as one batch. Keys that begin with a zero byte are this member's own.
 */
export class KeyState implements View {
  readonly #db: Database
  readonly #dir: string
  #active: Overlay = new Map()
  /** Sealed, and perhaps just being written. */
  #sealed: Overlay = new Map()
  #activeBytes = 0
  #sealedBytes = 0
  readonly #observers = new Set<Set<Key>>()

  private constructor(db: Database, dir: string) {
    this.#db = db
    this.#dir = dir
  }

  /** @throws when another process has it open, or the disk does not let it be opened */
  static async open(dir: string): Promise<KeyState> {
    const db: Database = new Level(dir, {
      keyEncoding: 'buffer',
      valueEncoding: 'view',
      cacheSize: 32 << 20,
      writeBufferSize: 16 << 20,
      maxOpenFiles: 400,
    })
    try {
      await db.open()
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined
      const why =
        codeOf(cause) === 'LEVEL_LOCKED'
          ? 'is in use by another process. Nothing was changed. Stop that one first.'
          : `can't be opened: ${cause instanceof Error ? cause.message : String(error)}`
      throw new Error(`${dir} ${why}`, { cause: error })
    }
    return new KeyState(db, dir)
  }

  get(key: Key): Uint8Array | undefined {
    const active = this.#active.get(key)
    if (active !== undefined || this.#active.has(key)) return active
    const sealed = this.#sealed.get(key)
    if (sealed !== undefined || this.#sealed.has(key)) return sealed
    return this.getStored(key)
  }

  /** What level itself has. */
  getStored(key: Key): Uint8Array | undefined {
    return this.#db.getSync(Buffer.from(key, 'latin1'))
  }

  set(key: Key, value: Uint8Array | undefined): void {
    this.#active.set(key, value)
    this.#activeBytes += key.length + (value?.length ?? 0) + overheadBytes
    for (const observer of this.#observers) observer.add(key)
  }

  /** Bytes in memory that are not in level. */
  get overlayBytes(): number {
    return this.#activeBytes + this.#sealedBytes
  }

  get isEmpty(): boolean {
    return this.#active.size === 0 && this.#sealed.size === 0
  }

  /** What is not in level, as changes in no order. */
  *unwritten(): Generator<LocalChange> {
    for (const change of this.#sealed) if (!this.#active.has(change[0])) yield change
    yield* this.#active
  }

  /** What has gathered is what the next `write` takes. Nothing may be sealed and unwritten. */
  seal(): void {
    this.#sealed = this.#active
    this.#sealedBytes = this.#activeBytes
    this.#active = new Map()
    this.#activeBytes = 0
  }

  /** What is sealed goes to level, with the member's own keys, in one batch. A failure must end the process. */
  async write(own: readonly LocalChange[]): Promise<void> {
    const batch = this.#db.batch()
    for (const [key, value] of this.#sealed) addTo(batch, key, value)
    for (const [key, value] of own) addTo(batch, key, value)
    await batch.write()
    this.#sealed = new Map()
    this.#sealedBytes = 0
  }

  /** Replicated keys of a span, as they are at the call. Must be closed. */
  range(span: KeySpan): RangeReader {
    const changed: LocalChange[] = []
    for (const change of this.unwritten()) if (isIn(change[0], span)) changed.push(change)
    changed.sort((a, b) => (a[0] < b[0] ? -1 : 1))
    const gte = Buffer.from(span.from < firstReplicated ? firstReplicated : span.from, 'latin1')
    const bounds = span.to === undefined ? { gte } : { gte, lt: Buffer.from(span.to, 'latin1') }
    return new RangeReader(changed, this.#db.iterator({ ...bounds, highWaterMarkBytes: 1 << 20 }))
  }

  /** Until `unobserve`, the keys that change are added to the set. */
  observe(): Set<Key> {
    const observer = new Set<Key>()
    this.#observers.add(observer)
    return observer
  }

  unobserve(observer: Set<Key>): void {
    this.#observers.delete(observer)
  }

  /**
   * What was written before the call is on the disk afterwards. LevelDB syncs tables before it refers to them, but a
   * log that it has left for a new one never (google/leveldb issue 193): so all logs, and what names the tables.
   */
  async sync(): Promise<void> {
    for (const name of await readdir(this.#dir)) {
      if (name.endsWith('.log') || name.startsWith('MANIFEST') || name === 'CURRENT')
        await syncFile(join(this.#dir, name))
    }
    await syncDirectory(this.#dir)
  }

  /** Deletes all of this member's own keys with a prefix, in level. */
  async clearOwn(prefix: string): Promise<void> {
    const to = prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)
    await this.#db.clear({ gte: Buffer.from(prefix, 'latin1'), lt: Buffer.from(to, 'latin1') })
  }

  async close(): Promise<void> {
    await this.#db.close()
  }
}

/** No replicated key is smaller. */
const firstReplicated = '\u0001' as Key

const isIn = (key: Key, { from, to }: KeySpan): boolean =>
  key >= from && key >= firstReplicated && (to === undefined || key < to)

function addTo(batch: ReturnType<Database['batch']> & object, key: Key, value: Uint8Array | undefined): void {
  if (value === undefined) batch.del(Buffer.from(key, 'latin1'))
  else batch.put(Buffer.from(key, 'latin1'), value)
}

async function syncFile(path: string): Promise<void> {
  try {
    const handle = await openFile(path, 'r+')
    try {
      await handle.datasync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error // a log whose table has been written, and synced, meanwhile
  }
}
