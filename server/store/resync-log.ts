import { randomInt } from 'node:crypto'
import { closeSync, fsyncSync, ftruncateSync, openSync, renameSync, unlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import type { Progress, ResyncMark, WorkItem } from '../../replication/work.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import { codeOf, readAll, syncDirectoryNow, writeAll } from './file-io.ts'
import { readWorkList, weightBytes, writeWorkList } from './work-codec.ts'

/** How far the steps of a log went at one moment. */
export interface Reached {
  readonly steps: number
  readonly progress: Progress
}

/**
 * The mark of a member that is not in sync (R36), and what remains to be brought over: a file that is there as long as
 * the mark stands. It is a log: u32 length and u32 crc32 of a record, then u8 kind
 * - 1 `begin`: u48 id; 2 `add`: a list of work; 3 `step`: what the first remaining item is replaced by;
 *   4 `undo`: u48 how many of the steps before this record count
 *
 * How many steps count is known in level, in the batch that holds what the steps brought: steps beyond that are undone
 * at the next start, and their items are fetched again.
 */
export class ResyncLog {
  readonly id: number
  readonly #path: string
  readonly #fd: number
  #end = 0
  #steps = 0
  readonly #remaining: WorkItem[] = []
  #progress: Progress = { bytesDone: 0, bytesTotal: 0, itemsDone: 0, itemsTotal: 0 }
  /** Of the steps that level has: those after them are taken again when this process dies. */
  #stored = this.#progress

  private constructor(path: string, fd: number, id: number) {
    this.#path = path
    this.#fd = fd
    this.id = id
  }

  /** It stands on the disk when this returns. */
  static create(path: string, work: readonly WorkItem[]): ResyncLog {
    const id = randomInt(2 ** 47) // level may still know the steps of an earlier one
    const fd = openSync(`${path}.new`, 'w+')
    const log = new ResyncLog(path, fd, id)
    const writer = new ByteWriter()
    writer.u8(1)
    writer.u48(id)
    log.#append(writer)
    fsyncSync(fd)
    log.add(work)
    renameSync(`${path}.new`, path)
    syncDirectoryNow(dirname(path))
    return log
  }

  /** `stepsOf` says how many steps of the log with that id count. Undefined when there is no mark. */
  static open(path: string, stepsOf: (id: number) => number): ResyncLog | undefined {
    let fd: number
    try {
      fd = openSync(path, 'r+')
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    }
    const first = readRecord(fd, 0)
    const reader = new ByteReader(first?.bytes ?? new Uint8Array(0))
    if (first === undefined || reader.u8() !== 1) throw new Error(`${path} is damaged. Move the store away and resync.`)
    const log = new ResyncLog(path, fd, reader.u48())
    log.#replay(first.next, stepsOf(log.id))
    return log
  }

  get reached(): Reached {
    return { steps: this.#steps, progress: this.#progress }
  }

  /**
   * What remains is not a copy: it may be long, and is asked for after each step. The progress is what a process that
   * starts after a kill goes on from.
   */
  get mark(): ResyncMark {
    return { remaining: this.#remaining, progress: this.#stored }
  }

  /** Level has what was reached. */
  stored({ progress }: Reached): void {
    const { bytesTotal, itemsTotal } = this.#progress // of what was added meanwhile, too
    this.#stored = { ...progress, bytesTotal, itemsTotal }
  }

  /** On the disk when this returns. */
  add(work: readonly WorkItem[]): void {
    if (work.length === 0) return
    const writer = new ByteWriter()
    writer.u8(2)
    writeWorkList(writer, work)
    this.#append(writer)
    fsyncSync(this.#fd)
    this.#added(work)
  }

  /** The first remaining item is replaced by `rest`: for good, once level says that this step counts. */
  step(rest: readonly WorkItem[]): void {
    const writer = new ByteWriter(64)
    writer.u8(3)
    writeWorkList(writer, rest)
    this.#append(writer)
    this.#stepped(rest)
  }

  /** Takes the mark away. */
  remove(): void {
    closeSync(this.#fd)
    unlinkSync(this.#path)
  }

  close(): void {
    closeSync(this.#fd)
  }

  #append(writer: ByteWriter): void {
    const bytes = writer.take()
    const frame = Buffer.allocUnsafe(8 + bytes.length)
    frame.writeUInt32BE(bytes.length, 0)
    frame.writeUInt32BE(crc32(bytes), 4)
    bytes.copy(frame, 8)
    writeAll(this.#fd, frame, this.#end)
    this.#end += frame.length
  }

  #added(work: readonly WorkItem[]): void {
    for (const item of work) this.#remaining.push(item) // more than a call takes as arguments
    const bytes = weightOf(work)
    const withMore = ({ bytesTotal, itemsTotal, ...done }: Progress): Progress => {
      return { ...done, bytesTotal: bytesTotal + bytes, itemsTotal: itemsTotal + work.length }
    }
    this.#progress = withMore(this.#progress)
    this.#stored = withMore(this.#stored)
  }

  #stepped(rest: readonly WorkItem[]): void {
    const item = this.#remaining.shift()
    if (item === undefined) throw new Error('a step of a resync of which nothing remains')
    this.#remaining.unshift(...rest)
    const done = weightBytes(item) - weightOf(rest)
    const { bytesDone, bytesTotal, itemsDone, itemsTotal } = this.#progress
    this.#steps++
    this.#progress = {
      bytesDone: bytesDone + Math.max(0, done),
      bytesTotal: bytesTotal + Math.max(0, -done),
      itemsDone: itemsDone + 1,
      itemsTotal: itemsTotal + rest.length,
    }
  }

  #replay(from: number, stepsMax: number): void {
    let records: Replayed[] = []
    this.#end = from
    for (let record = readRecord(this.#fd, from); record !== undefined; record = readRecord(this.#fd, record.next)) {
      const reader = new ByteReader(record.bytes)
      const kind = reader.u8()
      if (kind === 4) records = withoutStepsAfter(records, reader.u48())
      else records.push({ isStep: kind === 3, work: readWorkList(reader) })
      this.#end = record.next
    }
    ftruncateSync(this.#fd, this.#end)
    const counting = withoutStepsAfter(records, stepsMax)
    for (const { isStep, work } of counting) {
      if (isStep) this.#stepped(work)
      else this.#added(work)
    }
    this.#stored = this.#progress
    if (counting.length < records.length) this.#undo(stepsMax)
  }

  #undo(steps: number): void {
    const writer = new ByteWriter(8)
    writer.u8(4)
    writer.u48(steps)
    this.#append(writer)
  }
}

const weightOf = (work: readonly WorkItem[]): number => work.reduce((sum, item) => sum + weightBytes(item), 0)

interface Replayed {
  readonly isStep: boolean
  readonly work: readonly WorkItem[]
}

function withoutStepsAfter(records: readonly Replayed[], stepsMax: number): Replayed[] {
  let steps = 0
  return records.filter(({ isStep }) => !isStep || ++steps <= stepsMax)
}

interface LogRecord {
  readonly at: number
  readonly bytes: Buffer
  readonly next: number
}

function readRecord(fd: number, at: number): LogRecord | undefined {
  const frame = readAll(fd, 8, at)
  if (frame.length < 8) return undefined
  const bytes = readAll(fd, Math.min(frame.readUInt32BE(0), 1 << 30), at + 8)
  if (bytes.length < frame.readUInt32BE(0) || crc32(bytes) !== frame.readUInt32BE(4)) return undefined
  return { at, bytes, next: at + 8 + bytes.length }
}
