import t from 'tap'
import type { Key } from '../../../proto/ids.ts'
import { key as anyKey } from '../../../proto/ids.ts'
import { loadInode } from '../../../server/filesystem/inode.ts'
import { violations } from '../../../server/filesystem/invariants.ts'
import { accessAclName, defaultAclName } from '../../../server/filesystem/xattr-record.ts'
import * as keys from '../../../server/store/keys.ts'
import { encodeLocks } from '../../../server/store/lock-records.ts'
import * as records from '../../../server/store/records.ts'
import { bodyAt, seal } from '../../../server/store/seal.ts'
import { fourCallers } from '../../fixtures/file-calls.ts'
import { aclValue } from './acl-value.ts'

function world() {
  const { ann, volume } = fourCallers()
  const dir = ann.mkdir(1n, 'd')
  const file = ann.create(dir, 'small')
  ann.write(file, 0, 'text')
  ann.setxattr(file, 'user.a', 'b')
  const large = ann.create(dir, 'large')
  ann.write(large, 0, Buffer.alloc(5000))
  const orphan = ann.create(1n, 'gone')
  ann.unlink(1n, 'gone')
  const change = (ino: bigint, to: Partial<records.Inode>) =>
    volume.values.set(keys.inodeKey(ino), records.encodeInode({ ...loadInode(volume, ino), ...to }))
  const place = (parent: bigint, name: string): Key => keys.dentriesKey(parent, keys.nameHash(Buffer.from(name)))
  const dentry = (ino: bigint, type: number, name: string) =>
    records.encodeDentries([{ slot: 0, ino, type, name: Buffer.from(name) }])
  const setXattrs = (xattrs: readonly records.Xattr[]) =>
    volume.values.set(keys.xattrsKey(file), records.encodeXattrs(xattrs))
  return { volume, values: volume.values, dir, file, large, orphan, change, place, dentry, setXattrs }
}
const one = (name: string, value: Uint8Array = Buffer.from('b')): records.Xattr => ({ name: Buffer.from(name), value })
type World = ReturnType<typeof world>

const contents = (text: string): Buffer => {
  const value = records.contentsFrame(text.length)
  value.write(text, bodyAt)
  return seal(value)
}

const oneLock = encodeLocks([
  { session: 9n, owner: 1n, flock: false, exclusive: true, start: 0n, end: 1n, handle: 1n, pid: 1 },
])

const damages: readonly (readonly [RegExp, (w: World) => unknown])[] = [
  [/there is no root/, (w) => w.values.delete(keys.inodeKey(1n))],
  [/no inode counter/, (w) => w.values.delete(keys.inodeCounter)],
  [/inodes are counted/, (w) => w.values.set(keys.inodeCounter, records.encodeCounter({ next: 99n, used: 1 }))],
  [/not given away yet/, (w) => w.values.set(keys.inodeCounter, records.encodeCounter({ next: 3n, used: 5 }))],
  [/unknown key/, (w) => w.values.set(anyKey('zz'), Buffer.alloc(1))],
  [/does not match its checksum/, (w) => w.values.get(keys.inodeKey(w.file))?.fill(0, 10, 20)],
  [/counts 2 names but has 1/, (w) => w.values.delete(w.place(w.dir, 'small'))],
  [/counts 1 links but has 0 names/, (w) => w.values.delete(w.place(w.dir, 'small'))],
  [/is a directory with 0 names/, (w) => w.values.delete(w.place(1n, 'd'))],
  [/not there but has a name/, (w) => w.values.delete(keys.inodeKey(w.file))],
  [/not there but has names in it/, (w) => w.values.set(w.place(77n, 'a'), w.dentry(w.file, 8, 'a'))],
  [/no directory but has names/, (w) => w.values.set(w.place(w.file, 'a'), w.dentry(w.file, 8, 'a'))],
  [/says type 4/, (w) => w.values.set(w.place(w.dir, 'small'), w.dentry(w.file, 4, 'small'))],
  [/wrong place/, (w) => w.values.set(w.place(w.dir, 'small'), w.dentry(w.file, 8, 'other'))],
  [/name that is "\."/, (w) => w.values.set(w.place(w.dir, '.'), w.dentry(w.file, 8, '.'))],
  [/contains a NUL or a slash/, (w) => w.values.set(w.place(w.dir, 'a/b'), w.dentry(w.file, 8, 'a/b'))],
  [/".." leads to 9/, (w) => w.change(w.dir, { parent: 9n })],
  [/not reached from the root/, (w) => w.change(w.dir, { parent: w.dir })],
  [/counts 7 links but is a directory/, (w) => w.change(w.dir, { nlink: 7 })],
  [/counts 9 names/, (w) => w.change(w.dir, { entries: 9 })],
  [/directory with a size/, (w) => w.change(w.dir, { size: 9 })],
  [/root but its ".." leads/, (w) => w.change(1n, { parent: w.dir })],
  [/orphan record, or both/, (w) => w.values.delete(keys.orphanKey(w.orphan))],
  [/orphan record, or both/, (w) => w.values.set(keys.orphanKey(w.file), records.encodeOrphan(1n))],
  [/not there but has orphan record/, (w) => w.values.set(keys.orphanKey(77n), records.encodeOrphan(1n))],
  [/is 4 bytes long but has 0/, (w) => w.values.delete(keys.contentsKey(w.file))],
  [/inline contents beside a blob/, (w) => w.values.set(keys.contentsKey(w.large), contents('x'))],
  [/has 0 bytes of inline contents/, (w) => w.values.set(keys.contentsKey(w.file), contents(''))],
  [/has 4097 bytes of inline/, (w) => w.values.set(keys.contentsKey(w.file), contents('x'.repeat(4097)))],
  [/not there but has contents/, (w) => w.values.set(keys.contentsKey(77n), contents('x'))],
  [/which is too long/, (w) => w.change(w.large, { size: 2 ** 44 })],
  [/its blob \d+ is 5000/, (w) => w.change(w.large, { size: 4999 })],
  [/its blob \d+ is not there/, (w) => w.volume.blobs.clear()],
  [/inode 0 is not there but has blob/, (w) => w.change(w.large, { blob: 77n })],
  [/not there but has locks/, (w) => w.values.set(keys.locksKey(77n), oneLock)],
  [/is locked by session 9, which is not there/, (w) => w.values.set(keys.locksKey(w.file), oneLock)],
  [/may not have attributes of users/, (w) => w.change(w.file, { mode: 0o010644 })],
  [/has an attribute twice/, (w) => w.setXattrs([one('user.a'), one('user.a')])],
  [/has an ACL without entries/, (w) => w.setXattrs([one(accessAclName, Buffer.from([2, 0, 0, 0]))])],
  [
    /has a default ACL but is no directory/,
    (w) => w.setXattrs([one(defaultAclName, aclValue('u::r--,g::r--,o::---'))]),
  ],
  [/has an access ACL that its mode says/, (w) => w.setXattrs([one(accessAclName, aclValue('u::rw-,g::r--,o::r--'))])],
  [/has a mode that its ACL denies/, (w) => w.setXattrs([one(accessAclName, aclValue('u::r--,g::r--,m::r--,o::---'))])],
  [/has a damaged ACL/, (w) => w.setXattrs([one(accessAclName, Buffer.from('nonsense'))])],
  [
    /has extended attributes/,
    (w) => w.values.set(keys.xattrsKey(77n), w.values.get(keys.xattrsKey(w.file)) ?? Buffer.alloc(0)),
  ],
]

void t.test('a sound volume has no violations; each damage is one', async (t) => {
  const check = ({ volume }: World) =>
    violations(volume.values, new Map([...volume.blobs].map(([blob, { size }]) => [blob, size])))
  t.same(check(world()), [])
  for (const [expected, damage] of damages) {
    const damaged = world()
    damage(damaged)
    t.match(check(damaged).join('\n'), expected, String(expected))
  }
})

void t.test('a loop of directories is noticed', async (t) => {
  const { ann, volume } = fourCallers()
  const a = ann.mkdir(1n, 'a')
  const b = ann.mkdir(a, 'b')
  volume.values.set(keys.inodeKey(a), records.encodeInode({ ...loadInode(volume, a), parent: b }))
  t.match(violations(volume.values).join('\n'), /not reached from the root/)
})
