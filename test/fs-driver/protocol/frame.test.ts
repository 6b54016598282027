import { spawnSync } from 'node:child_process'
import path from 'node:path'
import t from 'tap'

/** Bytes by which the process grows in memory, in one that does nothing else. */
function residentBytes(making: string): number {
  const frame = path.resolve(import.meta.dirname, '../../../fs-driver/protocol/frame.ts')
  const script = `
import { readFileSync } from 'node:fs'
import { newFrame } from ${JSON.stringify(frame)}
const pages = () => Number(readFileSync('/proc/self/statm', 'latin1').split(' ')[1])
const before = pages()
const made = ${making}
console.log(pages() - before, made.length)
`
  const { stdout, stderr } = spawnSync(process.execPath, ['--import=tsx', '--input-type=module', '--eval', script], {
    encoding: 'utf8',
  })
  const [pages] = stdout.split(' ').map(Number)
  if (pages === undefined || Number.isNaN(pages)) throw new Error(stderr)
  return pages * 4096
}

void t.test('all pages of a frame are there before the kernel writes into it', async (t) => {
  const size = 64 << 20
  t.ok(residentBytes(`Buffer.allocUnsafeSlow(${size})`) < size / 2, 'of other memory they come when they are used')
  t.ok(residentBytes(`newFrame(${size}).bytes`) >= 0.95 * size)
})
