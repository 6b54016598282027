import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { ExtentFile, type ExtentHead, extentBytesMax } from '../../../fs-driver/write-behind/extent-file.ts'

function newPath(t: Test): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-extents-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return path.join(folder, 'writes')
}

const head = (number: bigint, fields: Partial<ExtentHead> = {}): ExtentHead => ({
  number,
  ino: 7n,
  hold: 3n,
  offset: 4096n,
  length: 5,
  caller: { uid: 1000, gid: 100, pid: 12, groups: [4, 27] },
  killPrivileges: true,
  writtenNs: 99n,
  unique: 20n,
  ...fields,
})

void t.test('the next driver finds what is held back, in order, and nothing that was sent', (t) => {
  const file = newPath(t)
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
  t.comment(`seed ${seed}`)
  const step = fc.oneof(
    fc.record({ kind: fc.constant('put' as const), bytes: fc.uint8Array({ minLength: 1, maxLength: 9000 }) }),
    fc.record({ kind: fc.constant('free' as const), which: fc.nat() }),
    fc.record({ kind: fc.constant('reopen' as const) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      let extents = new ExtentFile(file, { resend: false })
      let number = 0n
      const held: { head: ExtentHead; place: number; bytes: Uint8Array }[] = []
      const checkLeft = (): void => {
        extents.close()
        extents = new ExtentFile(file, { resend: true })
        if (extents.left.length !== held.length) throw new Error(`${extents.left.length} left of ${held.length}`)
        for (const [index, placed] of extents.left.entries()) {
          const expected = held[index]
          if (expected === undefined) throw new Error('one too many')
          t.strictSame(placed, { place: expected.place, head: expected.head })
          if (extents.readData(placed).compare(expected.bytes) !== 0) throw new Error('other bytes')
        }
      }
      for (const one of steps) {
        if (one.kind === 'reopen') checkLeft()
        else if (one.kind === 'put') {
          const place = extents.claim()
          if (place === undefined) continue
          const placed = { place, head: head(++number, { length: one.bytes.length, ino: number * 3n }) }
          extents.writeData(place, 0, one.bytes)
          extents.put(placed)
          held.push({ ...placed, bytes: one.bytes })
        } else {
          const [gone] = held.splice(one.which % Math.max(held.length, 1), 1)
          if (gone !== undefined) extents.free(gone.place)
        }
      }
      checkLeft()
      for (const { place } of held) extents.free(place)
      extents.shrink()
      held.length = 0
      checkLeft()
      extents.close()
    }),
    { numRuns: 60, seed },
  )
  t.end()
})

void t.test('data without a head is not there, and more of it counts when the head says so', (t) => {
  const file = newPath(t)
  const extents = new ExtentFile(file, { resend: false })
  const place = extents.claim() ?? 0
  extents.writeData(place, 0, Buffer.from('hello'))
  t.same(new ExtentFile(file, { resend: true }).left, [])
  extents.put({ place, head: head(1n) })
  extents.writeData(place, 5, Buffer.from(' world'))
  const again = new ExtentFile(file, { resend: true })
  const [left] = again.left
  t.equal(left && again.readData(left).toString(), 'hello')
  extents.close()
  again.close()
  t.end()
})

void t.test('anything that is not ours is taken for nothing', (t) => {
  const file = newPath(t)
  writeFileSync(file, Buffer.alloc(3 * extentBytesMax, 0xa5))
  t.same(new ExtentFile(file, { resend: true }).left, [])
  writeFileSync(file, 'short')
  const extents = new ExtentFile(file, { resend: true })
  t.same(extents.left, [])
  let claimed = 0
  while (extents.claim() !== undefined) claimed++
  t.equal(claimed, 64)
  t.ok(extents.isFull)
  extents.close()
  t.end()
})
