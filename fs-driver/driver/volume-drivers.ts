import { errnos } from '../../proto/errno.ts'
import { volumeOf } from '../../proto/volume-number.ts'
import type { Frame } from '../protocol/frame.ts'
import { opcodes } from '../protocol/opcode.ts'
import { isAnswered } from '../protocol/request.ts'
import type { Driver, Kernel } from './driver.ts'
import type { LongWait } from './in-flight.ts'
import type { Places } from './plan-in-tree.ts'

/** Source: struct fuse_in_header, include/uapi/linux/fuse.h. */
const [opcodeAt, uniqueAt, nodeidAt, headerSize] = [4, 8, 16, 40]

/** As much of a driver as is needed here. */
type OneDriver = Pick<Driver, 'onMessage' | 'inFlight' | 'waitingFor'>

/** The kernel's end for each of several drivers: no more is taken from it while any of them has too much. */
export class SharedKernel {
  readonly #kernel: Kernel
  #pauses = 0

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** For one driver, which pauses once before it resumes. */
  share(): Kernel {
    return {
      reply: (unique, body) => this.#kernel.reply(unique, body),
      pause: () => {
        this.#pauses += 1
        if (this.#pauses === 1) this.#kernel.pause()
      },
      resume: () => {
        this.#pauses -= 1
        if (this.#pauses === 0) this.#kernel.resume()
      },
    }
  }
}

/** One mount of several volumes: each has a driver of its own, and the inode of a request says whose it is. */
export class VolumeDrivers {
  readonly #kernel: Pick<Kernel, 'reply'>
  readonly #places: Places
  /** Of the root of the tree. */
  readonly #first: OneDriver
  readonly #others = new Map<number, OneDriver>()

  constructor(kernel: Pick<Kernel, 'reply'>, places: Places, first: OneDriver) {
    this.#kernel = kernel
    this.#places = places
    this.#first = first
  }

  get inFlight(): number {
    return this.#all().reduce((sum, driver) => sum + driver.inFlight, 0)
  }

  /** As Driver.waitingFor. */
  waitingFor(leastMs: number): readonly LongWait[] {
    return this.#all().flatMap((driver) => driver.waitingFor(leastMs))
  }

  #all(): readonly OneDriver[] {
    return [this.#first, ...this.#others.values()]
  }

  add(volume: number, driver: OneDriver): void {
    this.#others.set(volume, driver)
  }

  /** As Driver.onMessage. */
  onMessage(frame: Frame, length: number): void {
    if (this.#others.size === 0 || length < headerSize) return this.#first.onMessage(frame, length)
    const opcode = frame.view.getUint32(opcodeAt, true)
    if (opcode === opcodes.INTERRUPT.code) return this.#interrupt(frame, length)
    const volume = this.#volumeFor(opcode, frame, length)
    const driver = volume === 0 ? this.#first : this.#others.get(volume)
    if (driver !== undefined) return driver.onMessage(frame, length)
    // Left over from a time of which nobody knows: no request can be about it.
    const unique = frame.view.getBigUint64(uniqueAt, true)
    if (isAnswered(opcode)) this.#kernel.reply(unique, { kind: 'error', errno: errnos.ESTALE })
  }

  /** Whose root is looked up answers, not who has its place. */
  #volumeFor(opcode: number, frame: Frame, length: number): number {
    const nodeid = frame.view.getBigUint64(nodeidAt, true)
    if (opcode !== opcodes.LOOKUP.code || !this.#places.isParent(nodeid)) return volumeOf(nodeid)
    const end = frame.bytes.indexOf(0, headerSize)
    const name = frame.bytes.subarray(headerSize, end < 0 || end > length ? length : end)
    return this.#places.at(nodeid, name) ?? volumeOf(nodeid)
  }

  /** It names no inode. Who does not know the request takes no notice. */
  #interrupt(frame: Frame, length: number): void {
    for (const driver of this.#all()) driver.onMessage(frame, length)
  }
}
