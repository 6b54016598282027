import { closeSync, openSync, read, writeSync, writevSync } from 'node:fs'
import type { Log } from '../log.ts'
import type { Frame } from '../protocol/frame.ts'
import { newFrame } from '../protocol/frame.ts'
import { frameSize } from '../protocol/negotiate.ts'
import type { Notification } from '../protocol/notification.ts'
import { encodeNotification } from '../protocol/notification.ts'
import type { ReplyBody } from '../protocol/reply.ts'
import { encodeReply } from '../protocol/reply.ts'

/** Two loops keep the kernel busy while one request is handled; more gained nothing (measured). */
const readers = 2

const deviceFile = '/dev/fuse'
const EIO = 5

/** Nothing was read, and the next read may do better. ENOENT: the request went away meanwhile. */
const passing: ReadonlySet<string> = new Set(['EINTR', 'EAGAIN', 'ENOENT'])

/** Takes one message. The frame's bytes change as soon as the call returns. */
export type OnMessage = (frame: Frame, length: number) => void

export function openDevice(): number {
  try {
    return openSync(deviceFile, 'r+')
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    const what = missing ? `${deviceFile} is missing` : `${deviceFile} cannot be opened (${(error as Error).message})`
    const remedy = missing ? 'Run "modprobe fuse" as root.' : 'Mounting needs root.'
    throw new Error(`${what}, so nothing was mounted. ${remedy}`, { cause: error })
  }
}

export function closeDevice(fd: number): void {
  closeSync(fd)
}

/**
 * The kernel's end of one mount: requests come in, replies and notifications go out. Does not own the descriptor.
 * While paused, at most one request for each reader still comes.
 */
export class Device {
  readonly #fd: number
  readonly #log: Log
  #paused = false
  #waiting: (() => void)[] = []

  constructor(fd: number, log: Log) {
    this.#fd = fd
    this.#log = log
  }

  /**
   * Hands each request to `onMessage` until the mount is gone.
   *
   * @returns why it ended: `unmounted`, or `aborted` through fusectl
   */
  async serve(onMessage: OnMessage): Promise<'unmounted' | 'aborted'> {
    const ends = await Promise.all(Array.from({ length: readers }, () => this.#readLoop(onMessage)))
    return ends.includes('aborted') ? 'aborted' : 'unmounted'
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    for (const go of this.#waiting.splice(0)) go()
  }

  /** Answers request `unique`, at once. @returns false: the kernel had given it up, which is no error */
  reply(unique: bigint, body: ReplyBody): boolean {
    const parts = encodeReply(unique, body)
    try {
      const [only] = parts
      if (parts.length === 1 && only !== undefined) writeSync(this.#fd, only)
      else writevSync(this.#fd, parts)
      return true
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ENODEV' || code === 'ECONNABORTED' || code === 'ENOTCONN') return false
      this.#log.error('fuse.reply-refused', { unique, reply: body.kind, code, stack: (error as Error).stack })
      // The process waits until it is answered, and cannot even be killed: a reply that is refused must not be the last.
      if (body.kind !== 'error') this.reply(unique, { kind: 'error', errno: EIO })
      return false
    }
  }

  /** Only for those that never wait in the kernel (see encodeNotification). @throws what the kernel said */
  notify(notification: Extract<Notification, { kind: 'RESEND' | 'INC_EPOCH' }>): void {
    writeSync(this.#fd, encodeNotification(notification))
  }

  #readLoop(onMessage: OnMessage): Promise<'unmounted' | 'aborted'> {
    return new Promise((resolve, reject) => {
      const frame = newFrame(frameSize)
      const next = () => {
        if (this.#paused) this.#waiting.push(next)
        else read(this.#fd, frame.bytes, 0, frame.bytes.length, null, onRead)
      }
      const onRead = (error: NodeJS.ErrnoException | null, length: number) => {
        if (error === null) {
          onMessage(frame, length)
          return next()
        }
        const { code = '' } = error
        if (code === 'ENODEV') resolve('unmounted')
        else if (code === 'ECONNABORTED') resolve('aborted')
        else if (passing.has(code)) next()
        else reject(new Error(`reading requests of the kernel failed: ${error.message}`, { cause: error }))
      }
      next()
    })
  }
}
