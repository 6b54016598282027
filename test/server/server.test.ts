import t from 'tap'
import { Cluster, call } from './cluster.ts'

void t.test('one server: what is written is read', async (t) => {
  const cluster = await Cluster.start(['s1'])
  t.teardown(() => cluster.close())
  const files = cluster.router()
  const made = await call(files, {
    $case: 'create',
    value: { parent: 1n, name: Buffer.from('a'), mode: 0o644, umask: 0, flags: 2 },
  })
  const ino = made.$case === 'entry' ? (made.value.attributes?.ino ?? 0n) : 0n
  const data = Buffer.from('hello')
  await call(files, { $case: 'write', value: { ino, offset: 0n, data, append: false, killPrivileges: false } })
  const read = await call(files, { $case: 'read', value: { ino, offset: 0n, length: 100 } })
  t.same(read.$case === 'data' && read.value, data)
  t.same(cluster.fatal, [])
})
