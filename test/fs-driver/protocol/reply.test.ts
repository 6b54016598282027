import t from 'tap'
import { encodeNotification } from '../../../fs-driver/protocol/notification.ts'
import { encodeReply, type ReplyBody } from '../../../fs-driver/protocol/reply.ts'
import type { Attributes } from '../../../proto/generated/file-service.ts'
import { wire } from '../../fixtures/wire.ts'

const attributes: Attributes = {
  ino: 9n,
  mode: 0o100644,
  nlink: 2,
  uid: 1000,
  gid: 100,
  rdev: 0x103n,
  size: 5n,
  blocks: 8n,
  atimeNs: 1_000_000_002n,
  mtimeNs: -1n,
  ctimeNs: 3n,
  btimeNs: 4n,
}

const attributesWire = `
  0900000000000000 0500000000000000 0800000000000000 # ino, size, blocks
  0100000000000000 ffffffffffffffff 0000000000000000 # seconds: atime, mtime, ctime
  02000000 ffc99a3b 03000000                         # nanoseconds
  a4810000 02000000 e8030000 64000000 03010000       # mode, nlink, uid, gid, rdev
  00000100 00000000                                  # blksize, flags`

const entryWire = `
  0900000000000000 0000000000000000                  # nodeid, generation
  0000000000000000 0000000000000000 00000000 00000000 # valid for no time
  ${attributesWire}`

const rows: readonly [body: ReplyBody, bytes: string][] = [
  [{ kind: 'error', errno: 2 }, '10000000 feffffff 0a00000000000080'],
  [{ kind: 'done' }, '10000000 00000000 0a00000000000080'],
  [{ kind: 'entry', attributes }, `90000000 00000000 0a00000000000080 ${entryWire}`],
  [
    { kind: 'attributes', attributes },
    `78000000 00000000 0a00000000000080 0000000000000000 00000000 00000000 ${attributesWire}`,
  ],
  [{ kind: 'opened', fh: 0x1234n, flags: 65 }, '20000000 00000000 0a00000000000080 3412000000000000 41000000 00000000'],
  [
    { kind: 'created', attributes, fh: 0x1234n, flags: 65 },
    `a0000000 00000000 0a00000000000080 ${entryWire}
     3412000000000000 41000000 00000000 # fh, open_flags`,
  ],
  [{ kind: 'place', offset: 0x1_0000_0003n }, '18000000 00000000 0a00000000000080 03000000 01000000'],
  [
    { kind: 'ioctl', data: Buffer.from([16, 0, 0, 0]) },
    '24000000 00000000 0a00000000000080 00000000 00000000 00000000 00000000 10000000',
  ],
  [
    { kind: 'statx', attributes: { ...attributes, rdev: 0x1234_5678n } },
    `30010000 00000000 0a00000000000080 ${'00'.repeat(32)}
     ff0f0000 00000100 0000000000000000          # mask, blksize, attributes
     02000000 e8030000 64000000 a481 0000        # nlink, uid, gid, mode
     0900000000000000 0500000000000000 0800000000000000 0000000000000000 # ino, size, blocks
     0100000000000000 02000000 00000000          # atime
     0000000000000000 04000000 00000000          # btime
     0000000000000000 03000000 00000000          # ctime
     ffffffffffffffff ffc99a3b 00000000          # mtime
     56040000 78230100 00000000 00000000         # major and minor of the device
     ${'00'.repeat(112)}`,
  ],
  [{ kind: 'written', length: 3 }, '18000000 00000000 0a00000000000080 03000000 00000000'],
  [{ kind: 'length', length: 3 }, '18000000 00000000 0a00000000000080 03000000 00000000'],
  [{ kind: 'data', data: Buffer.from('abc') }, '13000000 00000000 0a00000000000080 616263'],
  [{ kind: 'data', data: Buffer.alloc(0) }, '10000000 00000000 0a00000000000080'],
  [
    {
      kind: 'space',
      space: { blockSize: 4096n, blocks: 10n, free: 9n, available: 8n, files: 7n, filesFree: 6n, nameMax: 255 },
    },
    `60000000 00000000 0a00000000000080
     0a00000000000000 0900000000000000 0800000000000000 0700000000000000 0600000000000000
     00100000 ff000000 00100000 00000000 ${'00'.repeat(24)}`,
  ],
  [
    { kind: 'negotiated', negotiated: { minor: 45, flags: 0x8440000008n, maxReadahead: 131072 } },
    `50000000 00000000 0a00000000000080
     07000000 2d000000 00000200 08000040 # 7.45, readahead, flags
     4000 3000 00001000 01000000         # max_background, congestion_threshold, max_write, time_gran
     0001 0000 84000000 00000000         # max_pages, map_alignment, flags2, max_stack_depth
     ${'00'.repeat(24)}`,
  ],
]

void t.test('each reply has the bytes that the kernel expects, and the number of its request', async (t) => {
  for (const [body, bytes] of rows) {
    t.equal(
      Buffer.concat(encodeReply(0x800000000000000an, body)).toString('hex'),
      wire(bytes).toString('hex'),
      body.kind,
    )
  }
})

void t.test('notifications carry their code, and no number', async (t) => {
  const name = Buffer.from('ab')
  const rows = [
    [{ kind: 'RESEND' }, '10000000 07000000 0000000000000000'],
    [{ kind: 'INC_EPOCH' }, '10000000 08000000 0000000000000000'],
    [
      { kind: 'INVAL_INODE', ino: 5n, offset: -1n, length: 0n },
      '28000000 02000000 0000000000000000 0500000000000000 ffffffffffffffff 0000000000000000',
    ],
    [
      { kind: 'INVAL_ENTRY', parent: 5n, name, expireOnly: true },
      '23000000 03000000 0000000000000000 0500000000000000 02000000 01000000 616200',
    ],
    [
      { kind: 'DELETE', parent: 5n, child: 6n, name },
      '2b000000 06000000 0000000000000000 0500000000000000 0600000000000000 02000000 00000000 616200',
    ],
  ] as const
  for (const [notification, bytes] of rows) {
    t.equal(encodeNotification(notification).toString('hex'), wire(bytes).toString('hex'), notification.kind)
  }
})
