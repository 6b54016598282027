import t from 'tap'
import type { FileCall, FileClient } from '../../../fs-driver/router/file-client.ts'
import { readOnlyClient } from '../../../fs-driver/router/read-only-client.ts'
import { FsError } from '../../../proto/errno.ts'
import { calls } from '../../fixtures/calls.ts'

const nobody = { uid: 0, gid: 0, groups: [], pid: 0 }
const name = Buffer.from('f')
const range = { ino: 7n, handle: 1n, owner: 1n, start: 0n, end: 1n, exclusive: true, flock: false, pid: 1 }
const open = (flags: number): FileCall => ({ $case: 'open', value: { ino: 7n, flags, killPrivileges: false } })

const rows: readonly (readonly [string, FileCall, 'asked' | 'EROFS'])[] = [
  ['a lookup', { $case: 'lookup', value: { parent: 1n, name } }, 'asked'],
  ['a read', { $case: 'read', value: { ino: 7n, offset: 0n, length: 9 } }, 'asked'],
  ['an fsync', { $case: 'fsync', value: { ino: 7n } }, 'asked'],
  ['an open for reading', open(0), 'asked'],
  ['an open for writing', open(1), 'EROFS'],
  ['an open for both', open(2), 'EROFS'],
  ['an open that empties', open(0o1000), 'EROFS'],
  ['a create', calls.create('f'), 'EROFS'],
  ['a write', calls.write(7n, 'x'), 'EROFS'],
  ['a chmod', calls.chmod(7n, 0o600), 'EROFS'],
  ['a rename', calls.rename('f', 'g'), 'EROFS'],
  ['a setxattr', calls.setxattr(7n, 'user.a', '1'), 'EROFS'],
  ['reads that are noted', { $case: 'noteReads', value: { reads: [] } }, 'EROFS'],
  ['an unlock', { $case: 'unlock', value: { range } }, 'asked'],
  ['a hold given back', { $case: 'releaseHolds', value: { holds: [] } }, 'asked'],
  ['a release of locks', { $case: 'releaseLocks', value: { ino: 7n, handle: 1n } }, 'asked'],
]

void t.test('what changes something is refused here, and nobody is asked', async (t) => {
  const asked: FileCall[] = []
  const answered: bigint[] = []
  const client: FileClient = {
    call: async (call) => {
      asked.push(call)
      return { $case: 'done', value: {} }
    },
    answered: (unique) => void answered.push(unique),
  }
  const readOnly = readOnlyClient(client)
  for (const [what, call, expected] of rows) {
    const outcome = await readOnly.call(call, nobody, { unique: 10n, step: 0 }).then(
      () => 'asked',
      (error: unknown) => (error instanceof FsError ? error.errno : String(error)),
    )
    t.equal(outcome, expected, what)
    t.same(asked.splice(0), expected === 'EROFS' ? [] : [call], what)
  }
  readOnly.answered?.(10n)
  t.same(answered, [10n])
})
