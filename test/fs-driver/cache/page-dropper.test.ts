import t from 'tap'
import { PageDropper } from '../../../fs-driver/cache/page-dropper.ts'
import { pagesBesides, pagesOf } from '../../../fs-driver/cache/page-ranges.ts'

/** A dropper whose kernel is obeyed by hand: `finish` ends the oldest notification. */
function bench() {
  const told: string[] = []
  const waiting: (() => void)[] = []
  const pages = new PageDropper((ino, offset, length) => {
    told.push(`${ino} ${offset}+${length}`)
    return new Promise((resolve) => waiting.push(resolve))
  })
  const finish = async () => {
    waiting.shift()?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { pages, told, finish }
}

void t.test('pages of a read are whole pages, and the others are all the rest', async (t) => {
  t.same(pagesOf(0n, 1), { from: 0n, to: 4096n })
  t.same(pagesOf(4095n, 2), { from: 0n, to: 8192n })
  t.same(pagesOf(8192n, 4096), { from: 8192n, to: 12288n })
  t.same(pagesBesides([]), [{ from: 0n, to: undefined }])
  t.same(pagesBesides([pagesOf(8192n, 4096), pagesOf(0n, 100), pagesOf(8192n, 8192)]), [
    { from: 4096n, to: 8192n },
    { from: 16384n, to: undefined },
  ])
})

void t.test('what the kernel is given while pages are dropped is dropped after it', async (t) => {
  const { pages, told, finish } = bench()
  let done = false
  const before = pages.readBegan(7n, 0n, 4096)
  void pages.drop(7n).then(() => {
    done = true
  })
  const meanwhile = pages.readBegan(7n, 8192n, 4096)
  pages.readEnded(7n, before)
  pages.readEnded(7n, meanwhile)
  await finish()
  t.same(told, ['7 0+0', '7 0+4096', '7 8192+4096'])
  t.notOk(done)
  await finish()
  await finish()
  t.ok(done)
  t.notOk(pages.isDropping(7n))
  pages.readEnded(7n, pages.readBegan(7n, 0n, 1))
  t.equal(told.length, 3, 'later reads are nobody’s concern')
})

void t.test('asked for again it goes over all pages again', async (t) => {
  const { pages, told, finish } = bench()
  const first = pages.drop(7n)
  const second = pages.drop(7n)
  await finish()
  t.same(told, ['7 0+0', '7 0+0'])
  await finish()
  await Promise.all([first, second])
})

void t.test(
  'with nobody to answer reads, their pages are passed by; another read has it tried once more',
  async (t) => {
    const { pages, told, finish } = bench()
    pages.readBegan(7n, 4096n, 4096)
    let done = false
    void pages.dropBesidesReads(7n).then(() => {
      done = true
    })
    t.same(told, ['7 0+4096', '7 8192+0'])
    await finish() // the other one meets a read that was not known
    pages.readBegan(7n, 12288n, 4096)
    t.same(told.slice(2), ['7 0+4096', '7 8192+4096', '7 16384+0'])
    await finish()
    t.ok(done, 'the first try is through')
  },
)
