import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import path from 'node:path'
import { Step } from '../../proto/generated/file-service.ts'

/** An operation that was answered here, or is about to be, and has to be sent. */
export interface HeldStep {
  /** The kernel's number of the request. */
  readonly unique: bigint
  /** The inode that it makes, changes, moves or takes away. */
  readonly ino: bigint
  /** What a rename takes away. */
  readonly victim: bigint | undefined
  readonly step: Step
}

export interface LeftBatch {
  readonly number: bigint
  readonly steps: readonly HeldStep[]
}

/** Length of the step, unique, ino, victim (0: none). */
const headBytes = 28
const endMark = 0x42595355 // 'BYSU'

/**
 * Steps that were held back, in memory (tmpfs) that outlives the driver, so that the next one sends them (S26): a file for
 * each batch, which is only ever appended to, and never again once it is being sent. A step that was written half is not
 * there: its request was not answered.
 */
export class StepFiles {
  /** What the driver before this one left, in the order of the numbers. */
  readonly left: readonly LeftBatch[]
  readonly #folder: string
  readonly #fds = new Map<bigint, number>()

  /** `folder` is made if it is not there. `resend`: as for ExtentFile. */
  constructor(folder: string, { resend }: { resend: boolean }) {
    this.#folder = folder
    if (!resend) rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const left: LeftBatch[] = []
    for (const name of readdirSync(folder)) {
      const number = numberOf(name)
      const steps = number === undefined ? [] : load(readFileSync(path.join(folder, name)))
      if (number === undefined || steps.length === 0) rmSync(path.join(folder, name), { recursive: true, force: true })
      else left.push({ number, steps })
    }
    this.left = left.sort((a, b) => (a.number < b.number ? -1 : 1))
  }

  /** @throws Error ENOSPC: there is no memory for it */
  append(batch: bigint, { unique, ino, step, victim }: HeldStep): void {
    const body = Step.encode(step).finish()
    const record = Buffer.allocUnsafe(headBytes + body.length + 4)
    record.writeUInt32LE(body.length, 0)
    record.writeBigUInt64LE(unique, 4)
    record.writeBigUInt64LE(ino, 12)
    record.writeBigUInt64LE(victim ?? 0n, 20)
    record.set(body, headBytes)
    record.writeUInt32LE(endMark, headBytes + body.length)
    const fd = this.#fds.get(batch) ?? openSync(this.#nameOf(batch), 'ax', 0o600)
    this.#fds.set(batch, fd)
    if (writeSync(fd, record) !== record.length) throw Object.assign(new Error('no memory'), { code: 'ENOSPC' })
  }

  /** It has been done, or is given up. */
  remove(batch: bigint): void {
    const fd = this.#fds.get(batch)
    if (fd !== undefined) closeSync(fd)
    this.#fds.delete(batch)
    rmSync(this.#nameOf(batch), { force: true })
  }

  close(): void {
    for (const fd of this.#fds.values()) closeSync(fd)
    this.#fds.clear()
  }

  #nameOf(batch: bigint): string {
    return path.join(this.#folder, String(batch))
  }
}

const numberOf = (text: string): bigint | undefined => (/^[0-9]{1,20}$/.test(text) ? BigInt(text) : undefined)

/** As far as it is whole. */
function load(bytes: Buffer): readonly HeldStep[] {
  const steps: HeldStep[] = []
  for (let at = 0; at + headBytes <= bytes.length; ) {
    const length = bytes.readUInt32LE(at)
    const end = at + headBytes + length
    if (end + 4 > bytes.length || bytes.readUInt32LE(end) !== endMark) break
    const step = Step.decode(bytes.subarray(at + headBytes, end))
    const victim = bytes.readBigUInt64LE(at + 20)
    steps.push({
      unique: bytes.readBigUInt64LE(at + 4),
      ino: bytes.readBigUInt64LE(at + 12),
      victim: victim === 0n ? undefined : victim,
      step,
    })
    at = end + 4
  }
  return steps
}
