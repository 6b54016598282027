import { closeSync, fsyncSync, openSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import type { Epoch, Seq } from '../../proto/ids.ts'
import { readAll, writeAll } from './file-io.ts'

/** What a store remembers about itself, outside of level and journal. */
export interface Meta {
  /** Version of the whole store's format. */
  readonly format: number
  /** The boot of the host under which the store was last open. */
  readonly bootId: string
  /** How often it was opened. */
  readonly openings: number
  /** It was closed in order, everything on the disk. */
  readonly clean: boolean
  /** The journal's end may be missing since a host went down, and nothing has made up for it yet (R12). */
  readonly amnesia: boolean
  readonly epoch: Epoch
  /** S11. */
  readonly durable: Seq
  /** How many steps of the resync under way are durable as well. */
  readonly resyncSteps: number
}

export const storeFormat = 1

const slotBytes = 4096

/**
 * A small record in a file of two slots that are written in turn, so that one of them is always whole: a digest tells.
 * A slot: u32 crc of the rest, u32 length, JSON with a growing `turn`.
 */
export class MetaFile {
  readonly #path: string
  readonly #fd: number
  #turn: number
  #meta: Meta

  private constructor(path: string, fd: number, turn: number, meta: Meta) {
    this.#path = path
    this.#fd = fd
    this.#turn = turn
    this.#meta = meta
  }

  /** @throws when there is none, it is damaged in both slots, or its format is newer than ours */
  static open(path: string): MetaFile {
    const fd = openSync(path, 'r+')
    const newest = [0, 1].map((slot) => readSlot(fd, slot)).sort((a, b) => (b?.turn ?? -1) - (a?.turn ?? -1))[0]
    if (newest === undefined) {
      closeSync(fd)
      throw new Error(`${path} is damaged: this store can't be read. Move it away and let the member resync.`)
    }
    if (newest.meta.format > storeFormat) {
      closeSync(fd)
      throw new Error(
        `${path} has store format ${newest.meta.format}, and this program knows ${storeFormat} at most. ` +
          'Nothing was changed. Start it with the newer program that wrote it.',
      )
    }
    return new MetaFile(path, fd, newest.turn, newest.meta)
  }

  /** Leaves it on the disk. */
  static create(path: string, meta: Meta): MetaFile {
    const file = new MetaFile(path, openSync(path, 'w+'), 0, meta)
    file.update(meta)
    file.syncNow()
    return file
  }

  get meta(): Meta {
    return this.#meta
  }

  /** kill -9 can't reach it when this returns. */
  update(change: Partial<Meta>): void {
    this.#meta = { ...this.#meta, ...change }
    this.#turn++
    const text = Buffer.from(JSON.stringify({ turn: this.#turn, meta: this.#meta }))
    const slot = Buffer.alloc(slotBytes)
    slot.writeUInt32BE(text.length, 4)
    text.copy(slot, 8)
    slot.writeUInt32BE(crc32(slot.subarray(4)), 0)
    writeAll(this.#fd, slot, (this.#turn % 2) * slotBytes)
  }

  /** Waits for the disk. For the rare moments at which nothing else may happen before. */
  syncNow(): void {
    fsyncSync(this.#fd)
  }

  async sync(): Promise<void> {
    const handle = await open(this.#path, 'r+')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  close(): void {
    closeSync(this.#fd)
  }
}

function readSlot(fd: number, slot: number): { readonly turn: number; readonly meta: Meta } | undefined {
  const bytes = readAll(fd, slotBytes, slot * slotBytes)
  if (bytes.length < slotBytes || bytes.readUInt32BE(0) !== crc32(bytes.subarray(4))) return undefined
  const length = bytes.readUInt32BE(4)
  return JSON.parse(bytes.toString('utf8', 8, 8 + length)) as { readonly turn: number; readonly meta: Meta }
}
