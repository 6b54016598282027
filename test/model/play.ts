import { FsError } from '../../proto/errno.ts'
import type { Attributes, Caller, HeldLock } from '../../proto/generated/file-service.ts'
import { holdOn } from '../../server/filesystem/holds.ts'
import { violations } from '../../server/filesystem/invariants.ts'
import { locksOn, withoutSession } from '../../server/filesystem/locks.ts'
import { operate } from '../../server/filesystem/operate.ts'
import { reap } from '../../server/filesystem/reap.ts'
import type { Effect } from '../../server/store/effect.ts'
import { sessionKey } from '../../server/store/keys.ts'
import type { Lock } from '../../server/store/lock-records.ts'
import { encodeSession } from '../../server/store/session-records.ts'
import { type AnyReply, MemoryVolume } from '../fixtures/memory-volume.ts'
import { aim } from './aim.ts'
import { type Command, callers, sessions } from './commands.ts'
import { ModelFilesystem } from './model-filesystem.ts'
import { withHold } from './model-holds.ts'
import { type Node, Refusal } from './model-node.ts'
import { type Asking, ModelSessions } from './model-sessions.ts'
import type { ModelOperation } from './tree-operation.ts'
import { isOfSession } from './tree-operation.ts'

/** A command as it was aimed, and what the model said to it. */
export interface Step {
  readonly command: Command
  readonly expected: unknown
}

/**
 * Runs a history on both and compares after each step; throws at the first difference.
 *
 * @param how.execute `operate`, or one with a fault put in on purpose
 * @param how.trace takes the steps, aimed, up to the one that differs
 */
export function play(history: readonly Command[], how: { execute?: typeof operate; trace?: Step[] } = {}): void {
  const model = new ModelFilesystem()
  const ofSessions = new ModelSessions(model.nodes)
  const volume = new MemoryVolume()
  for (const session of sessions) volume.values.set(sessionKey(session), encodeSession(someSession))
  const done: (readonly Effect[])[] = []
  for (const [index, given] of history.entries()) {
    const command = aimed(given, model)
    const now = BigInt(index + 1) * 1000n
    if (command.kind === 'reap') {
      how.trace?.push({ command, expected: undefined })
      done.push(applyTwice(volume, reap(volume, volume.orphans()), index))
      model.reap()
      continue
    }
    if (command.kind === 'end') {
      how.trace?.push({ command, expected: undefined })
      for (const ino of model.nodes.keys()) {
        done.push(applyTwice(volume, withoutSession(volume, BigInt(ino), command.session), index))
      }
      ofSessions.end(command.session)
      continue
    }
    const caller: Caller = { ...callers[command.who], groups: [...callers[command.who].groups] }
    const { op, session } = command
    const asking: Asking = { caller, session, now }
    const mayHold = command.noHolds !== true
    const expected = attempt(() =>
      isOfSession(op) ? ofSessions.run(asking, op) : model.run({ ...asking, mayHold }, op),
    )
    how.trace?.push({ command, expected })
    const effects: (readonly Effect[])[] = []
    const found = attempt(() =>
      runOn(volume, op, { ...asking, mayHold, index, effects, execute: how.execute ?? operate }),
    )
    done.push(...effects)
    same(found, expected, `step ${index + 1}`)
  }
  compareTrees(volume, model)
  for (const node of model.nodes.values()) compareSessions(volume, node, ofSessions)
  redo(volume, done, history.length)
  const sizes = new Map([...volume.blobs].map(([blob, bytes]) => [blob, bytes.size]))
  same(violations(volume.values, sizes), [], 'invariants')
}

function aimed(command: Command, model: ModelFilesystem): Command {
  if (command.kind !== 'run' || command.pick === undefined) return command
  const { pick, ...rest } = command
  return { ...rest, op: aim(command.op, pick, model) }
}

interface Moment extends Asking {
  readonly mayHold: boolean
  readonly index: number
  readonly effects: (readonly Effect[])[]
  readonly execute: typeof operate
}

/** As the shell does it, but a crash in the middle of applying comes first (S10). */
function runOn(volume: MemoryVolume, op: ModelOperation, step: Moment): unknown {
  const { caller, mayHold, now, session } = step
  const outcome = step.execute(volume, caller, op, volume.at(op, now, { session, mayHold }))
  step.effects.push(applyTwice(volume, outcome.effects, step.index))
  return comparable(volume.answer(op, outcome))
}

function applyTwice(volume: MemoryVolume, effects: readonly Effect[], index: number): readonly Effect[] {
  volume.apply(effects.slice(0, index % (effects.length + 1)))
  volume.apply(effects)
  return effects
}

/** After a restart the last entries are applied again, in order; the state is the same as before (S10). */
function redo(volume: MemoryVolume, done: readonly (readonly Effect[])[], steps: number): void {
  const before = snapshot(volume)
  for (const effects of done.slice(Math.floor((done.length * (steps % 7)) / 7))) volume.apply(effects)
  const after = snapshot(volume)
  // Compared here, as text only when they differ: this is most of what a history has to compare.
  if (after.length === before.length && after.every((one, at) => one === before[at])) return
  same(after, before, 'state after a redo')
}

const snapshot = (volume: MemoryVolume): readonly string[] => [
  ...[...volume.values].map(([key, value]) => `${key}=${Buffer.from(value).toString('latin1')}`).sort(),
  ...[...volume.blobs].map(([blob, bytes]) => `${blob}=${bytes.read(0, bytes.size).toString('latin1')}`).sort(),
]

function compareTrees(volume: MemoryVolume, model: ModelFilesystem): void {
  const root = { ...callers.root, groups: [] }
  for (const node of model.nodes.values()) {
    const ino = BigInt(node.ino)
    const ask = (op: ModelOperation) => attempt(() => comparable(volume.run(root, op, 0n)))
    same(ask({ $case: 'getattr', value: { ino } }), model.stat(node), `attributes of ${ino}`)
    if (node.type === 'file') {
      const found = ask({ $case: 'read', value: { ino, offset: 0n, length: 1 << 20 } })
      same(found, node.bytes.toString('latin1'), `contents of ${ino}`)
    }
    same(ask({ $case: 'listxattr', value: { ino } }), [...node.xattrs.keys()], `xattrs of ${ino}`)
    for (const [name, value] of node.xattrs) {
      same(ask({ $case: 'getxattr', value: { ino, name: Buffer.from(name, 'latin1') } }), value, `xattr of ${ino}`)
    }
    if (node.type === 'dir' && !node.removed) {
      const whole = { ino, cookie: 0n, count: 100, attributes: false }
      const expected = model.run({ caller: root, session: 0n, now: 0n }, { $case: 'readdir', value: whole })
      same(sorted(pages(volume, ino, 1 + (node.ino % 4))), expected, `listing of ${ino}`)
    }
  }
  same(
    [...volume.orphans()].every((ino) => model.nodes.has(Number(ino))),
    true,
    'orphans are in the model',
  )
}

function compareSessions(volume: MemoryVolume, node: Node, model: ModelSessions): void {
  const ino = BigInt(node.ino)
  const found = locksOn(volume, ino).map((lock) => Object.values(lockAs(lock)).join(' '))
  const expected = model.locksOn(node).map((lock) => Object.values(lockAs(lock)).join(' '))
  same(found.sort(), expected.sort(), `locks on ${ino}`)
  const [held, hold] = [holdOn(volume, ino), node.hold]
  same(held && `${held.session} ${held.number}`, hold && `${hold.session} ${hold.number}`, `hold on ${ino}`)
}

const lockAs = ({ session, owner, flock, exclusive, start, end, handle, pid }: Lock): Lock => ({
  ...{ session, owner, flock, exclusive, start, end, handle, pid },
})

const someSession = { host: 'host', pid: 1, path: '/mnt', nonce: 'n', provider: 's1', openedNs: 0n }

/** A listing in small pages, each going on from the last cookie. */
function pages(volume: MemoryVolume, ino: bigint, count: number): string[] {
  const entries: string[] = []
  let cookie = 0n
  for (;;) {
    const op: ModelOperation = { $case: 'readdir', value: { ino, cookie, count, attributes: true } }
    const reply = volume.run({ ...callers.root, groups: [] }, op, 0n)
    if (reply.$case !== 'listing') throw new Error(`a listing is answered with ${reply.$case}`)
    entries.push(...listed(reply))
    cookie = reply.value.entries.at(-1)?.cookie ?? cookie
    if (reply.value.end) return entries
    if (reply.value.entries.length === 0) throw new Error('a page is empty but not the last')
  }
}

const listed = (reply: Extract<AnyReply, { $case: 'listing' }>): string[] =>
  reply.value.entries.map(({ name, ino, type }) => `${name.toString('latin1')} ${ino} ${type}`)

/** `.` and `..` first, then by name: as the model lists. */
const sorted = ([dot, dotDot, ...names]: string[]): (string | undefined)[] => [dot, dotDot, ...names.sort()]

function attempt(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    if (error instanceof FsError) return error.errno
    if (error instanceof Refusal) return error.message
    throw error
  }
}

/** A reply as the model answers. */
function comparable(reply: AnyReply): unknown {
  switch (reply.$case) {
    case 'entry':
      return reply.value.attributes && withHold(stat(reply.value.attributes), reply.value.hold)
    case 'attributes':
      return stat(reply.value)
    case 'data':
      return reply.value.toString('latin1')
    case 'written':
      return withHold([reply.value.length, reply.value.offset, reply.value.size].join(' '), reply.value.hold)
    case 'listing':
      return sorted(listed(reply))
    case 'space':
      return Number(reply.value.files - reply.value.filesFree)
    case 'names':
      return reply.value.names.map((name) => name.toString('latin1'))
    case 'locked':
      return reply.value.granted ? 'granted' : 'denied'
    case 'heldLock':
      return heldLock(reply.value)
    case 'place':
      return reply.value.offset.toString()
    case 'done':
    case 'heldDirectory':
    case 'numbers':
    case 'batched':
      return undefined
  }
}

const heldLock = ({ held, exclusive, start, end, pid }: HeldLock): string =>
  held ? [exclusive, start, end, pid].join(' ') : 'free'

const stat = (a: Attributes): string =>
  [a.ino, a.mode, a.nlink, a.uid, a.gid, a.rdev, a.size, a.blocks, a.atimeNs, a.mtimeNs, a.ctimeNs, a.btimeNs].join(' ')

function same(found: unknown, expected: unknown, what: string): void {
  if (found === expected) return
  const [a, b] = [found, expected].map((value) => JSON.stringify(value) ?? 'undefined')
  if (a !== b) throw new Error(`${what}: found ${short(a)}, the model has ${short(b)}`)
}

const short = (text = ''): string => (text.length > 500 ? `${text.slice(0, 500)}…` : text)
