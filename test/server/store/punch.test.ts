import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Blobs } from '../../../server/store/blobs.ts'
import { punchBytesMin } from '../../../server/store/punch.ts'

function made(t: { testdir(): string }) {
  const dir = t.testdir()
  const blobs = new Blobs(dir, () => false)
  const occupied = () => {
    const names = readdirSync(join(dir, 'files'), { recursive: true, encoding: 'utf8' })
    const sizes = names.map((name) => statSync(join(dir, 'files', name))).filter((stat) => stat.isFile())
    return sizes.reduce((sum, { blocks }) => sum + blocks * 512, 0)
  }
  return { blobs, occupied }
}

void t.test('zeros in the middle of a blob: the rest stays, and so does its length', async (t) => {
  const { blobs } = made(t)
  t.teardown(() => blobs.close())
  blobs.write(1n, 0, Buffer.alloc(10_000, 'x'))
  blobs.zero(1n, 100, 5000)
  blobs.zero(1n, 9990, 1 << 30)
  blobs.zero(1n, 20_000, 5)
  blobs.zero(2n, 0, 5)
  const expected = Buffer.alloc(10_000, 'x').fill(0, 100, 5100).fill(0, 9990)
  t.ok(blobs.readNow(1n, 0, 20_000).equals(expected))
  t.equal(blobs.size(2n), 0)
})

void t.test('a great hole gives its room back to the disk', async (t) => {
  const { blobs, occupied } = made(t)
  t.teardown(() => blobs.close())
  const size = punchBytesMin * 2
  blobs.write(1n, 0, Buffer.alloc(size, 'x'))
  await blobs.sync()
  t.ok(occupied() >= size)
  blobs.zero(1n, 4096, punchBytesMin)
  await blobs.sync()
  t.ok(occupied() <= size - punchBytesMin + 65536, `${occupied()} bytes are occupied`)
  t.equal(blobs.size(1n), size)
  t.ok(blobs.readNow(1n, 4096, punchBytesMin).every((byte) => byte === 0))
  t.equal(blobs.readNow(1n, 4095, 1).toString() + blobs.readNow(1n, 4096 + punchBytesMin, 1).toString(), 'xx')
})
