import { randomUUID } from 'node:crypto'
import { FsError, nameOfErrno } from '../../proto/errno.ts'
import type { Caller, Hello, Response, Welcome } from '../../proto/generated/file-service.ts'
import type { NodeId } from '../../proto/ids.ts'
import { routeOf } from '../../proto/route.ts'
import { Connection, type ConnectionEvents } from './connection.ts'
import type { CallIdentity, FileCall, FileClient, FileResult } from './file-client.ts'
import { GrpcTransport } from './grpc-transport.ts'
import type { HoldHolder } from './hold-holder.ts'
import type { LeaseHolder } from './lease-holder.ts'
import type { ProviderSource } from './provider-source.ts'
import { Providers } from './providers.ts'
import { SlotFile } from './slot-file.ts'
import { interrupted, type Slot, Slots } from './slots.ts'
import type { Transport } from './transport.ts'

export interface RouterOptions {
  readonly providers: ProviderSource
  /** Only this provider is used. */
  readonly pinned?: NodeId
  /** This machine, and where it is mounted: shown by status. */
  readonly host: string
  readonly path: string
  /** The process that keeps the mount; standard is this one. */
  readonly pid?: number
  /** Does this driver, or its kernel, have the inode open, or is it about to? */
  isOpen(ino: bigint): boolean
  /** See SlotFile. Whoever makes a new connection to the kernel removes it first. */
  readonly slotFile: string
  /** How long a call waits while no provider answers (S29). */
  readonly unavailableMs?: number
  /** A provider that says nothing for so long is left for another. */
  readonly silenceMs?: number
  readonly transport?: Transport
  /** Keeps what providers lease; without it none are taken. */
  readonly leases?: LeaseHolder
  /** Keeps the session's holds; without it none are taken. */
  readonly holds?: HoldHolder
  /** The servers have ended the session: locks, and whatever else belonged to it, are gone. */
  onSessionEnded?(): void
  readonly log?: (event: string, fields: Readonly<Record<string, unknown>>) => void
}

export interface Router extends Required<FileClient> {
  /** What is still under way fails with EIO. The session goes on at the servers, for a driver that takes over. */
  close(): Promise<void>
  /** The mount is gone: the same, but the servers end the session at once, if one can be reached soon. */
  end(): Promise<void>
  /** Where the session is attached; undefined: nowhere at present. */
  provider(): NodeId | undefined
  /** Requests sent to providers, by operation, since the beginning. */
  sent(): Readonly<Record<string, number>>
}

const tickMs = 50
const heartbeatMs = 150
const welcomeMs = 1500
/** So long it is tried to end a session that is not needed any more; later the servers do it by themselves. */
const endMs = 2000
/** As many as the servers give a session. */
const slotsMax = 128

export const createRouter = (options: RouterOptions): Router => new SessionRouter(options)

/** How far a volume's history had come. `at` alone may go back, when all hosts lose power; the epoch never does. */
interface Position {
  readonly epoch: bigint
  readonly at: bigint
}

/** A call that has not been answered. */
interface Pending {
  readonly id: number
  readonly operation: FileCall
  readonly caller: Caller
  readonly how: CallIdentity
  readonly change: boolean
  slot: Slot | undefined
  /** A slot is being waited for. */
  taking: boolean
  /** On how many streams it went out; before the first, it has certainly had no effect. */
  sent: number
  /** With no provider. */
  waitedMs: number
  readonly resolve: (result: FileResult) => void
  readonly reject: (error: FsError) => void
  readonly onAbort: () => void
}

/** Keeps one session, at one provider at a time, whatever becomes of providers. */
class SessionRouter implements Router {
  readonly #options: RouterOptions
  readonly #transport: Transport
  readonly #file: SlotFile
  readonly #slots: Slots
  readonly #providers: Providers
  readonly #pending = new Map<number, Pending>()
  /** By the kernel's request: slots whose calls are answered, while the request is not. */
  readonly #held = new Map<bigint, Slot[]>()
  readonly #timer: NodeJS.Timeout
  readonly #watch: { close(): void }
  #nonce = randomUUID()
  #connection: Connection | undefined
  #seen: Position = { epoch: 0n, at: 0n }
  /** What was leased by the stream that is gone is being forgotten. */
  #forgetting = false
  #lastId = 0
  #closed = false
  readonly #sent: Record<string, number> = {}
  /** Called when the session has ended at the servers, by our wish. */
  #ending: (() => void) | undefined

  constructor(options: RouterOptions) {
    this.#options = options
    this.#transport = options.transport ?? new GrpcTransport()
    this.#file = new SlotFile(options.slotFile, slotsMax)
    this.#slots = new Slots(this.#file, slotsMax)
    this.#providers = new Providers({ pinned: options.pinned, host: options.host }, now)
    this.#timer = setInterval(() => this.#onTick(), tickMs)
    this.#forgetLeases()
    this.#watch = options.providers.watch((adverts) => {
      this.#providers.onAdverts(adverts)
      if (this.#connection === undefined) this.#seek()
      else if (this.#connection.welcomed) this.#keepSpareWarm(this.#connection)
    })
  }

  provider(): NodeId | undefined {
    return this.#connection?.welcomed === true ? this.#connection.advert.node : undefined
  }

  sent(): Readonly<Record<string, number>> {
    return { ...this.#sent }
  }

  call(operation: FileCall, caller: Caller, how: CallIdentity): Promise<FileResult> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new FsError('EIO', 'this mount is being closed'))
      if (how.signal?.aborted) return reject(interrupted())
      const id = this.#nextId()
      const change = routeOf(operation) === 'change'
      const onAbort = (): void => this.#onAbort(pending)
      const pending: Pending = {
        id,
        operation,
        caller,
        how,
        change,
        resolve,
        reject,
        onAbort,
        slot: undefined,
        taking: false,
        sent: 0,
        waitedMs: 0,
      }
      this.#pending.set(id, pending)
      how.signal?.addEventListener('abort', onAbort)
      this.#proceed(pending)
    })
  }

  answered(unique: bigint): void {
    const held = this.#held.get(unique)
    if (held === undefined) return
    this.#held.delete(unique)
    for (const slot of held) this.#slots.giveBack(slot)
  }

  async end(): Promise<void> {
    if (!this.#closed && this.#slots.session !== 0n) {
      await new Promise<void>((resolve) => {
        const limit = setTimeout(resolve, endMs)
        this.#ending = () => {
          clearTimeout(limit)
          resolve()
        }
        if (this.#connection?.welcomed) this.#connection.send(endSession)
      })
    }
    await this.close()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#timer)
    this.#watch.close()
    this.#connection?.close()
    this.#connection = undefined
    this.#slots.close()
    for (const pending of this.#pending.values()) this.#fail(pending, new FsError('EIO', 'this mount is being closed'))
    this.#transport.close()
    this.#file.close()
  }

  /** Takes a call one step further: a slot, then out. Called again when the obstacle is gone. */
  #proceed(pending: Pending): void {
    if (!this.#pending.has(pending.id) || pending.taking) return
    if (pending.change && pending.slot === undefined) {
      if (this.#slots.session === 0n) return
      const slot = this.#slots.take(pending.how, pending.how.signal, pending.how.urgent)
      if (slot instanceof Promise) {
        pending.taking = true
        // An interrupted wait has been answered by `onAbort`.
        slot.then(
          (given) => this.#given(pending, given),
          () => {},
        )
        return
      }
      pending.slot = slot
      if (slot.session !== this.#slots.session) return this.#fail(pending, this.#fateUnknown())
    }
    const connection = this.#connection
    if (connection?.welcomed !== true) return
    if (pending.change && connection.cutOff !== '') return this.#refuse(pending, connection.cutOff)
    this.#send(connection, pending)
  }

  /** Never sent, a change has certainly had no effect; else nobody here can say (S23). */
  #refuse(pending: Pending, cutOff: string): void {
    if (pending.how.patient === true || pending.taking) return // it waits for the partition's end, or for a slot
    const untouched = pending.sent === 0 && pending.slot?.again !== true
    const readOnly = untouched && cutOff === 'read'
    this.#fail(pending, new FsError(readOnly ? 'EROFS' : 'EIO', 'this side of a partition has no primary'))
  }

  #given(pending: Pending, slot: Slot): void {
    if (!this.#pending.has(pending.id)) return this.#slots.giveBack(slot)
    pending.taking = false
    pending.slot = slot
    this.#proceed(pending)
  }

  #send(connection: Connection, pending: Pending): void {
    const { id, operation, caller, how, slot } = pending
    pending.sent++
    this.#sent[operation.$case] = (this.#sent[operation.$case] ?? 0) + 1
    pending.waitedMs = 0
    const value = {
      id,
      slot: slot?.slot ?? 0,
      seq: slot?.seq ?? 0n,
      seen: this.#seen.at,
      seenEpoch: this.#seen.epoch,
      caller,
      operation: { kind: operation },
      invalidated: [...(how.invalidated ?? [])],
    }
    connection.send({ kind: { $case: 'request', value } })
  }

  #onResponse({ id, errno, position, positionEpoch, lost, reply, leased }: Response): void {
    const pending = this.#pending.get(id)
    if (pending === undefined) return // it was interrupted
    this.#sees({ epoch: positionEpoch, at: position })
    if (lost) return this.#onLostHistory(pending)
    const { onOutcome } = pending.how
    if (errno !== 0) {
      onOutcome?.({ kind: 'errno', errno }, leased)
      return this.#fail(pending, fsError(errno))
    }
    if (reply?.kind === undefined) return this.#fail(pending, new FsError('EIO', 'a reply without contents'))
    const { kind } = reply
    onOutcome?.({ kind: 'result', result: kind }, leased)
    // Nothing was done that might be done twice: whoever asks again may be asked anew. A wait for a lock takes no slot.
    const isKept = kind.$case !== 'locked' || kind.value.granted
    this.#forget(pending, isKept)
    pending.resolve(kind)
  }

  /** An answer may be overtaken by a later one. Of two epochs the later is greater. */
  #sees({ epoch, at }: Position): void {
    const seen = this.#seen
    if (epoch > seen.epoch || (epoch === seen.epoch && at > seen.at)) this.#seen = { epoch, at }
  }

  /**
   * All hosts lost power, and what this mount has seen went with it. A change fails once, so that a program that writes
   * hears that what it wrote before may be gone; a read is asked again, of what there is now.
   */
  #onLostHistory(pending: Pending): void {
    this.#options.log?.('history.lost', { operation: pending.operation.$case })
    if (pending.change) return this.#fail(pending, new FsError('EIO', 'what was not flushed was lost with all hosts'))
    this.#proceed(pending)
  }

  #fail(pending: Pending, error: FsError): void {
    this.#forget(pending)
    pending.reject(error)
  }

  #forget(pending: Pending, isKept = true): void {
    this.#pending.delete(pending.id)
    pending.how.signal?.removeEventListener('abort', pending.onAbort)
    if (pending.slot === undefined) return
    if (!isKept) return this.#slots.giveBack(pending.slot)
    // A driver that takes over before the kernel has the answer asks again: until then the slot keeps the reply.
    const { unique } = pending.how
    const held = this.#held.get(unique)
    if (held === undefined) this.#held.set(unique, [pending.slot])
    else held.push(pending.slot)
  }

  /** A change that has gone out keeps waiting for its true result, unless its only provider says that nothing happened. */
  #onAbort(pending: Pending): void {
    if (!this.#pending.has(pending.id)) return
    const cancel = { kind: { $case: 'cancel', value: { id: pending.id } } } as const
    const untouched = pending.sent === 0 && pending.slot?.again !== true
    if (pending.change && !untouched) {
      if (pending.sent === 1 && pending.slot?.again === false) this.#connection?.send(cancel)
      return
    }
    if (pending.sent > 0) this.#connection?.send(cancel)
    this.#fail(pending, interrupted())
  }

  #onTick(): void {
    this.#options.leases?.onTick()
    this.#connection?.onTick()
    const connection = this.#connection
    if (connection === undefined) this.#seek()
    if (connection?.welcomed !== true) return this.#wait()
    if (connection.cutOff !== '') {
      for (const pending of this.#pending.values()) if (pending.change) this.#refuse(pending, connection.cutOff)
    }
    if (connection.roundTripMs !== undefined) this.#providers.measured(connection.advert.node, connection.roundTripMs)
    const says = { cutOff: connection.cutOff !== '' }
    if (this.#providers.toMoveTo(connection.advert.node, says) === undefined) return
    connection.close()
    this.#connection = undefined
    this.#forgetLeases()
  }

  /** Nothing leased by an earlier stream is left, in this process or its kernel, when another one begins. */
  #forgetLeases(): void {
    const { leases } = this.#options
    if (leases === undefined) return this.#seek()
    this.#forgetting = true
    void leases.onDetached().then(() => {
      this.#forgetting = false
      this.#seek()
    })
  }

  /** S29. */
  #wait(): void {
    const { unavailableMs = 60_000 } = this.#options
    for (const pending of this.#pending.values()) {
      if (pending.how.patient === true) continue
      pending.waitedMs += tickMs
      if (pending.waitedMs > unavailableMs) this.#fail(pending, new FsError('EIO', 'no provider answers'))
    }
  }

  /** Attaches to the best provider that is not just known to fail. */
  #seek(): void {
    if (this.#closed || this.#forgetting || this.#connection !== undefined) return
    const advert = this.#providers.next()
    if (advert === undefined) return
    const { silenceMs = 600 } = this.#options
    const limits = { tickMs, heartbeatMs, welcomeMs, silenceMs }
    const how = { hello: this.#hello(), events: this.#events(), limits, now }
    this.#connection = new Connection(this.#transport, advert, how)
  }

  #events(): ConnectionEvents {
    return {
      onWelcome: (welcome) => this.#onWelcome(welcome),
      onResponse: (response) => this.#onResponse(response),
      onLost: (reason, ended) => this.#onLost(reason, ended),
      isOpen: (ino) => this.#options.isOpen(ino),
      leases: this.#options.leases,
      holds: this.#options.holds,
    }
  }

  #onWelcome({ session, provider }: Welcome): void {
    const connection = this.#connection
    if (connection === undefined) return
    this.#options.log?.('provider.attached', { provider, session: String(session) })
    if (session !== this.#slots.session) this.#slots.session = session
    if (this.#ending !== undefined) connection.send(endSession)
    for (const pending of this.#pending.values()) this.#proceed(pending)
    this.#keepSpareWarm(connection)
  }

  #onLost(reason: string, ended: boolean): void {
    const node = this.#connection?.advert.node
    this.#connection = undefined
    this.#options.log?.('provider.lost', { provider: node, reason })
    if (node !== undefined) this.#providers.failed(node)
    if (ended && this.#ending !== undefined) return this.#ending()
    if (ended) this.#onSessionEnded()
    this.#forgetLeases()
  }

  /** A new session under the same mount; only what may or may not have happened under the old one is lost. */
  #onSessionEnded(): void {
    this.#options.log?.('session.ended', { session: String(this.#slots.session) })
    this.#options.onSessionEnded?.()
    this.#options.holds?.onSessionEnded()
    this.#nonce = randomUUID()
    this.#slots.session = 0n
    for (const pending of this.#pending.values()) {
      const { slot } = pending
      if (slot === undefined) continue
      if (pending.sent > 0 || slot.again) {
        this.#fail(pending, this.#fateUnknown())
      } else {
        this.#slots.giveBack(slot)
        pending.slot = undefined
      }
    }
  }

  #fateUnknown(): FsError {
    return new FsError('EIO', 'the session ended, and whether this change was made is not known')
  }

  #keepSpareWarm(connection: Connection): void {
    const spare = this.#providers.spare(connection.advert.node)
    this.#transport.keepWarm(spare === undefined ? [] : [spare.address])
  }

  #hello(): Hello {
    const { host, leases, path, pid = process.pid } = this.#options
    const attach = leases === undefined ? 0n : process.hrtime.bigint()
    return { session: this.#slots.session, host, pid, path, nonce: this.#nonce, leases: leases !== undefined, attach }
  }

  #nextId(): number {
    do this.#lastId = (this.#lastId + 1) >>> 0
    while (this.#pending.has(this.#lastId))
    return this.#lastId
  }
}

const endSession = { kind: { $case: 'endSession', value: {} } } as const

const now = (): number => performance.now()

const fsError = (errno: number): FsError => new FsError(nameOfErrno(errno), `the provider says errno ${errno}`)
