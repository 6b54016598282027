import { callers } from './commands.ts'
import { lastByte } from './model-locks.ts'
import type { Step } from './play.ts'
import type { ModelOperation } from './tree-operation.ts'
import { isOfSession } from './tree-operation.ts'

/**
 * Steps as a Python script of the calls, with what the model says as comments. A person runs it with replay.py, on a mount
 * or on any other file system.
 */
export function script(steps: readonly Step[]): string {
  const who = Object.entries(callers).map(
    ([name, { uid, gid, groups }]) => `${name} = Caller('${name}', ${uid}, ${gid}, [${groups.join(', ')}])`,
  )
  const lines = steps.map(({ command, expected }) => {
    if (command.kind === 'reap') return 'reap()'
    if (command.kind === 'end') return `end(${command.session})`
    const { op, session } = command
    const lock = lockCall(op, session)
    if (lock !== undefined) return `${command.who}.${lock}  # ${said(expected)}`
    if (isOfSession(op)) return `# ${command.who}.${op.$case}(${args(op.value)})  # no call of this system`
    return `${command.who}.${command.op.$case}(${args(command.op.value)})  # ${said(expected)}`
  })
  return ['# python3 test/model/replay.py DIR < this, as root, with an empty DIR', ...who, ...lines, ''].join('\n')
}

/** A lock of an open file of its own, which is an owner, if there is such a call: flock(2) takes no ranges. */
function lockCall(op: ModelOperation, session: bigint): string | undefined {
  if (op.$case !== 'lock' && op.$case !== 'unlock' && op.$case !== 'getLock') return undefined
  const { range } = op.value
  if (range === undefined || range.flock || range.start > range.end || range.end > lastByte) return undefined
  const { ino, owner, exclusive, start, end } = range
  const length = end === lastByte ? 0n : end - start + 1n
  return `${op.$case}(${args({ session, ino, owner, exclusive, start, length })})`
}

function args(value: object): string {
  const given = Object.entries(value).filter(([, field]) => field !== undefined && field !== false)
  return given.map(([field, one]) => `${field}=${python(field, one)}`).join(', ')
}

function python(field: string, one: unknown): string {
  if (Buffer.isBuffer(one)) return bytes(one)
  if (typeof one === 'number' && ['mode', 'umask', 'flags'].includes(field)) return `0o${one.toString(8)}`
  if (one === true) return 'True'
  if (one === false) return 'False'
  if (typeof one !== 'object' || one === null) return String(one)
  const fields = Object.entries(one).map(([name, inner]) => `'${name}': ${python(name, inner)}`)
  return `{${fields.join(', ')}}`
}

/** Contents in the histories repeat themselves after a few bytes. */
const periodMax = 5

function bytes(data: Buffer): string {
  const period = data.subarray(0, periodMax)
  if (data.length <= 40 || !Buffer.alloc(data.length, period).equals(data)) return literal(data)
  return `(${literal(period)} * ${Math.ceil(data.length / periodMax)})[:${data.length}]`
}

const literal = (data: Buffer): string => {
  const shown = [...data].map((byte) =>
    byte < 32 || byte > 126 || byte === 39 || byte === 92
      ? `\\x${byte.toString(16).padStart(2, '0')}`
      : String.fromCodePoint(byte),
  )
  return `b'${shown.join('')}'`
}

/** An errno, or that it is none: what else comes out is in the words of the difference. */
const said = (expected: unknown): string => (isErrno(expected) ? expected : expected === 'denied' ? 'EAGAIN' : 'ok')

export const isErrno = (said: unknown): said is string => typeof said === 'string' && /^E[A-Z0-9]+$/.test(said)
