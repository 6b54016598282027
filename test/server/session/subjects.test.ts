import t from 'tap'
import { errnos } from '../../../proto/errno.ts'
import type { Attributes } from '../../../proto/generated/file-service.ts'
import type { FileCall } from '../../../server/session/ports.ts'
import { subjectsOf } from '../../../server/session/subjects.ts'
import { touchedInos } from '../../../server/session/touched-inos.ts'
import * as keys from '../../../server/store/keys.ts'

const name = Buffer.from('n')
const attributes = { ino: 9n } as Attributes

void t.test('what an answer is about', async (t) => {
  const entry = { errno: 0, reply: { $case: 'entry', value: { attributes } } } as const
  const done = { errno: 0, reply: { $case: 'done', value: {} } } as const
  const lookup: FileCall = { $case: 'lookup', value: { parent: 2n, name } }
  t.same(subjectsOf(lookup, entry), [2n, 9n])
  t.same(subjectsOf(lookup, { errno: errnos.ENOENT, reply: undefined }), [2n], 'an absence is the directory')
  t.same(subjectsOf(lookup, { errno: errnos.EACCES, reply: undefined }), [])
  const rename: FileCall = {
    $case: 'rename',
    value: { parent: 2n, name, newParent: 3n, newName: name, flags: 0 },
  }
  t.same(subjectsOf(rename, done), [2n, 3n])
  t.same(subjectsOf({ $case: 'link', value: { ino: 4n, parent: 2n, name } }, entry), [2n, 4n, 9n])
  const getxattr: FileCall = { $case: 'getxattr', value: { ino: 4n, name } }
  t.same(subjectsOf(getxattr, { errno: errnos.ENODATA, reply: undefined }), [4n])
  t.same(subjectsOf({ $case: 'statfs', value: {} }, done), [])
})

void t.test('what an entry changes for clients', async (t) => {
  const none = new Uint8Array(0)
  const touched = touchedInos([
    { kind: 'put', key: keys.inodeKey(1n), value: none },
    { kind: 'delete', key: keys.contentsKey(2n) },
    { kind: 'put', key: keys.xattrsKey(3n), value: none },
    { kind: 'put', key: keys.dentriesKey(4n, 77), value: none },
    { kind: 'blob.write', blob: 5n, offset: 0, length: 3 },
    { kind: 'blob.delete', blob: 6n },
    { kind: 'put', key: keys.holesKey(7n), value: none },
    { kind: 'put', key: keys.locksKey(8n), value: none },
    { kind: 'put', key: keys.sessionKey(9n), value: none },
    { kind: 'put', key: keys.replyKey(9n, 1), value: none },
    { kind: 'put', key: keys.inodeCounter, value: none },
    { kind: 'put', key: keys.inodeKey(10n), value: none, quiet: true },
  ])
  t.same([...touched], [1n, 2n, 3n, 4n, 5n, 6n, 7n])
})
