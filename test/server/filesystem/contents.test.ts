import t, { type Test } from 'tap'
import { inlineBytesMax, sizeBytesMax } from '../../../server/filesystem/contents.ts'
import { violations } from '../../../server/filesystem/invariants.ts'
import { readBytesMax } from '../../../server/filesystem/read.ts'
import { contentsKey } from '../../../server/store/keys.ts'
import { errnoOf, type FileCalls, fourCallers } from '../../fixtures/file-calls.ts'

const filled = (length: number, byte = 7) => Buffer.alloc(length, byte)
const zeros = (length: number) => Buffer.alloc(length)

function check(t: Test, who: FileCalls, ino: bigint, expected: Buffer, where: 'inline' | 'blob' | 'none'): void {
  t.ok(who.read(ino).equals(expected), `contents, ${expected.length} bytes`)
  t.equal(who.stat(ino).size, BigInt(expected.length))
  t.equal(who.volume.blobs.get(ino)?.size, where === 'blob' ? expected.length : undefined, `${where}: blob`)
  t.equal(who.volume.values.has(contentsKey(ino)), where === 'inline', `${where}: inline`)
  const sizes = new Map([...who.volume.blobs].map(([blob, bytes]) => [blob, bytes.size]))
  t.same(violations(who.volume.values, sizes), [])
}

void t.test('small files stand inline, and move to a blob when they grow', async (t) => {
  const { ann } = fourCallers()
  const ino = ann.create(1n, 'f')
  check(t, ann, ino, zeros(0), 'none')
  ann.write(ino, 0, filled(10))
  check(t, ann, ino, filled(10), 'inline')
  ann.write(ino, 20, filled(5, 9))
  check(t, ann, ino, Buffer.concat([filled(10), zeros(10), filled(5, 9)]), 'inline')
  ann.write(ino, inlineBytesMax - 1, filled(1))
  check(t, ann, ino, Buffer.concat([filled(10), zeros(10), filled(5, 9), zeros(4070), filled(1)]), 'inline')
  ann.write(ino, inlineBytesMax + 10, filled(1))
  const grown = Buffer.concat([filled(10), zeros(10), filled(5, 9), zeros(4070), filled(1), zeros(10), filled(1)])
  check(t, ann, ino, grown, 'blob')
  ann.setattr(ino, { size: 12n })
  check(t, ann, ino, Buffer.concat([filled(10), zeros(2)]), 'blob')
  ann.setattr(ino, { size: 0n })
  check(t, ann, ino, zeros(0), 'none')
  ann.write(ino, 0, filled(3))
  check(t, ann, ino, filled(3), 'inline')
})

void t.test('one write can overwrite what stands inline and grow beyond it', async (t) => {
  const { ann } = fourCallers()
  const ino = ann.create(1n, 'f')
  ann.write(ino, 0, filled(100))
  ann.write(ino, 0, filled(5000, 8))
  check(t, ann, ino, filled(5000, 8), 'blob')
  const other = ann.create(1n, 'g')
  ann.write(other, 0, filled(100))
  ann.write(other, 50, filled(5000, 8))
  check(t, ann, other, Buffer.concat([filled(50), filled(5000, 8)]), 'blob')
})

void t.test('what was cut off does not come back', async (t) => {
  for (const size of [100, 10_000]) {
    const { ann } = fourCallers()
    const ino = ann.create(1n, 'f')
    ann.write(ino, 0, filled(size))
    ann.setattr(ino, { size: 10n })
    ann.setattr(ino, { size: BigInt(size) })
    check(t, ann, ino, Buffer.concat([filled(10), zeros(size - 10)]), size > inlineBytesMax ? 'blob' : 'inline')
    ann.setattr(ino, { size: 5n })
    ann.write(ino, size - 1, filled(1))
    const expected = Buffer.concat([filled(5), zeros(size - 6), filled(1)])
    check(t, ann, ino, expected, size > inlineBytesMax ? 'blob' : 'inline')
  }
})

void t.test('a truncation can grow a file, from nothing or from what stands inline', async (t) => {
  const { ann } = fourCallers()
  const ino = ann.create(1n, 'f')
  ann.setattr(ino, { size: 8000n })
  check(t, ann, ino, zeros(8000), 'blob')
  const other = ann.create(1n, 'g')
  ann.write(other, 0, filled(3))
  ann.setattr(other, { size: 100n })
  check(t, ann, other, Buffer.concat([filled(3), zeros(97)]), 'inline')
  ann.setattr(other, { size: 6000n })
  check(t, ann, other, Buffer.concat([filled(3), zeros(5997)]), 'blob')
})

void t.test('reads are short at the end and see zeros in holes', async (t) => {
  const { ann } = fourCallers()
  for (const start of [100, 100_000]) {
    const ino = ann.create(1n, `f${start}`)
    ann.write(ino, start, 'end')
    t.same(ann.read(ino, start - 2, 100), Buffer.from('\0\0end'))
    t.same(ann.read(ino, start + 1, 1), Buffer.from('n'))
    for (const offset of [start + 3, start + 4, 2n ** 64n - 1n]) t.equal(ann.read(ino, offset, 5).length, 0)
    t.equal(ann.read(ino, 0, 0).length, 0)
  }
})

void t.test('a read gives no more than a kernel asks for, whatever a client does', async (t) => {
  const { ann } = fourCallers()
  const ino = ann.create(1n, 'long')
  ann.setattr(ino, { size: BigInt(3 * readBytesMax) })
  t.equal(ann.read(ino, 5, 2 ** 32 - 1).length, readBytesMax)
})

void t.test('a file ends at the greatest size', async (t) => {
  const { ann } = fourCallers()
  const ino = ann.create(1n, 'f')
  t.match(ann.write(ino, sizeBytesMax - 2, 'abc'), { length: 2, size: BigInt(sizeBytesMax) }, 'short')
  t.same(ann.read(ino, sizeBytesMax - 3, 10), Buffer.from('\0ab'))
  for (const offset of [BigInt(sizeBytesMax), 2n ** 63n, 2n ** 64n - 1n]) {
    t.equal(
      errnoOf(() => ann.write(ino, offset, 'a')),
      'EFBIG',
    )
    t.equal(
      errnoOf(() => ann.write(ino, offset, '')),
      undefined,
      'nothing fits anywhere',
    )
  }
  t.equal(
    errnoOf(() => ann.write(ino, 0, 'a', { append: true })),
    'EFBIG',
  )
})
