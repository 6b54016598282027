import t from 'tap'
import { parseMountInfo, readMountTable } from '../../../fs-driver/kernel/mount-table.ts'

void t.test('the mount table is read, escapes and optional fields included', async (t) => {
  const text = `27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
42 27 0:39 / /tmp/a\\040b\\134c\\303\\244 rw,relatime - fuse.banyan memory rw,user_id=0
43 27 0:40 / /mnt rw shared:2 master:1 - nfs a:/b - rw
not a mount
44 27
`
  t.strictSame(parseMountInfo(text), [
    { id: 27, device: '254:0', path: '/', type: 'ext4', source: '/dev/vda' },
    { id: 42, device: '0:39', path: '/tmp/a b\\cä', type: 'fuse.banyan', source: 'memory' },
    { id: 43, device: '0:40', path: '/mnt', type: 'nfs', source: 'a:/b' },
  ])
})

void t.test('the real one has a root', async (t) => {
  t.ok(readMountTable().some((entry) => entry.path === '/'))
})
