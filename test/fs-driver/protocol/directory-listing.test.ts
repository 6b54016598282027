import t from 'tap'
import { packListing } from '../../../fs-driver/protocol/directory-listing.ts'
import type { DirectoryEntry } from '../../../proto/generated/file-service.ts'
import { attributesOf } from '../../fixtures/attributes.ts'
import { wire } from '../../fixtures/wire.ts'

const attributes = attributesOf(9n)

const dot: DirectoryEntry = { name: Buffer.from('.'), ino: 7n, type: 4, cookie: 1n, attributes }
const file: DirectoryEntry = { name: Buffer.from('a long name'), ino: 9n, type: 8, cookie: 0x1234n, attributes }

const dotWire = '0700000000000000 0100000000000000 01000000 04000000 2e00000000000000'
const fileWire = `0900000000000000 3412000000000000 0b000000 08000000 # ino, offset after it, namelen, type
                  61206c6f6e67206e616d6500000000 00              # padded to 8`

void t.test('names are packed with the offset that continues after them', async (t) => {
  const { data, count } = packListing([dot, file], { sizeBytes: 4096, withAttributes: false })
  t.equal(count, 2)
  t.equal(data.toString('hex'), wire(dotWire + fileWire.trim()).toString('hex'))
})

void t.test('as many as fit', async (t) => {
  for (const [sizeBytes, wanted] of [
    [31, 0],
    [32, 1],
    [71, 1],
    [72, 2],
  ] as const) {
    const { data, count } = packListing([dot, file], { sizeBytes, withAttributes: false })
    t.equal(count, wanted, `${sizeBytes} bytes`)
    t.ok(data.length <= sizeBytes)
  }
})

void t.test('with attributes: the entry before the name; none for . and .., and for what is gone', async (t) => {
  const gone = { ...file, attributes: undefined }
  const { data, count } = packListing([dot, file, gone], { sizeBytes: 4096, withAttributes: true })
  t.equal(count, 3)
  const nodeid = (at: number) => data.readBigUInt64LE(at)
  t.equal(nodeid(0), 0n)
  t.equal(nodeid(128 + 32), 9n)
  t.equal(data.readUInt32LE(128 + 32 + 40 + 60), 0o100644)
  t.equal(nodeid(2 * 128 + 32 + 40), 0n)
  t.equal(data.length, 3 * 128 + 32 + 40 + 40)
})
