import t from 'tap'
import { permitted } from '../../../server/filesystem/permission.ts'
import { decodeInode, encodeInode } from '../../../server/store/records.ts'
import { errnoOf, fourCallers } from '../../fixtures/file-calls.ts'
import { inode } from './inode-of.ts'

const owner = { uid: 1000, gid: 7, groups: [], pid: 1 }
const member = { uid: 1001, gid: 7, groups: [50], pid: 1 }
const primary = { uid: 1001, gid: 50, groups: [], pid: 1 }
const other = { uid: 1002, gid: 8, groups: [9], pid: 1 }
const root = { uid: 0, gid: 0, groups: [], pid: 1 }

const rows = [
  ['an owner has the owner’s bits', 0o100700, owner, 7, true],
  ['and no others', 0o100077, owner, 4, false],
  ['a member of the group has the group’s', 0o100070, member, 7, true],
  ['also with the group as its own', 0o100050, primary, 5, true],
  ['and not those of the others', 0o100707, member, 1, false],
  ['others have the others’', 0o100005, other, 5, true],
  ['all of the mask is wanted', 0o100005, other, 7, false],
  ['nothing is always allowed', 0o100000, other, 0, true],
  ['root reads and writes anything', 0o100000, root, 6, true],
  ['root executes what somebody may', 0o100001, root, 1, true],
  ['root does not execute what nobody may', 0o100666, root, 1, false],
  ['root searches any directory', 0o040000, root, 7, true],
] as const

void t.test('permission bits', async (t) => {
  for (const [what, mode, caller, mask, expected] of rows) {
    const node = decodeInode(encodeInode({ ...inode, mode, uid: 1000, gid: 50 }))
    t.equal(permitted(node, { ...caller, groups: [...caller.groups] }, mask), expected, what)
  }
})

void t.test('access says what permitted says', async (t) => {
  const { root, ann, dee } = fourCallers()
  const file = ann.create(1n, 'f', 0o640)
  t.equal(
    errnoOf(() => ann.access(file, 6)),
    undefined,
  )
  t.equal(
    errnoOf(() => ann.access(file, 1)),
    'EACCES',
  )
  t.equal(
    errnoOf(() => dee.access(file, 4)),
    'EACCES',
  )
  t.equal(
    errnoOf(() => dee.access(file, 0)),
    undefined,
  )
  t.equal(
    errnoOf(() => root.access(file, 1)),
    'EACCES',
  )
  t.equal(
    errnoOf(() => root.access(file, 8)),
    'EINVAL',
  )
  t.equal(
    errnoOf(() => root.access(99n, 0)),
    'ESTALE',
  )
})
