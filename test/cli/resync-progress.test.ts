import { PassThrough } from 'node:stream'
import t from 'tap'
import type { MemberView } from '../../cli/show/cluster-view.ts'
import { resyncShow } from '../../cli/show/resync-progress.ts'

type Progress = Pick<MemberView, 'name' | 'state' | 'resync'>

const mib = 2 ** 20
const at = (mibDone: number): Progress => ({
  name: 's2',
  state: 'resyncing',
  resync: { bytesDone: mibDone * mib, bytesTotal: 100 * mib, filesDone: 1, filesTotal: 4, bytesPerSecond: 10 * mib },
})
const done: Progress = { name: 's2', state: 'in-sync', resync: null }
const other: Progress = { name: 's1', state: 'in-sync', resync: null }

function output(more: object = {}): { readonly stream: NodeJS.WriteStream; readonly text: () => string } {
  let text = ''
  const stream = Object.assign(new PassThrough(), more)
  stream.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text }
}

void t.test('where nobody watches, a line now and then, and one for each change of state', async (t) => {
  const { stream, text } = output({ isTTY: false })
  let now = 0
  const show = resyncShow(stream, () => now)
  for (let mibDone = 0; mibDone < 100; mibDone += 1) {
    show.show([other, at(mibDone)])
    now += 100
  }
  show.show([other, done])
  show.end()
  const lines = text().trimEnd().split('\n')
  t.equal(lines[0], 's2: 0 %, 0 B of 100 MiB, 1 of 4 files, 10.0 MiB/s, 10 s left')
  t.equal(lines.at(-1), 's2: in sync')
  t.equal(lines.length, 6, 'one each two seconds, and the end')
})

void t.test('on a terminal, a bar for each member that was not in sync', async (t) => {
  const { stream, text } = output({
    isTTY: true,
    columns: 100,
    cursorTo: () => true,
    moveCursor: () => true,
    clearLine: () => true,
    clearScreenDown: () => true,
  })
  const show = resyncShow(stream, () => 0)
  show.show([other, at(0)])
  show.show([other, at(50)])
  show.show([other, done])
  show.end()
  t.match(text(), /s2 \[/)
  t.match(text(), /in sync/)
  t.notMatch(text(), /s1/)
})
