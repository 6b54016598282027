import t from 'tap'
import { epoch } from '../../../proto/ids.ts'
import { freshNumbers } from '../../../server/session/numbers.ts'
import { inodeCounter, sessionCounter } from '../../../server/store/keys.ts'
import { decodeCounter, encodeCounter } from '../../../server/store/records.ts'
import { MemoryVolume } from './memory-volume.ts'

const nextOf = (memory: MemoryVolume, key: typeof inodeCounter): bigint =>
  decodeCounter(memory.state.committed.get(key) ?? new Uint8Array(0)).next

void t.test('what was given away and lost with the power of all hosts is never given away again', (t) => {
  for (const key of [inodeCounter, sessionCounter]) {
    const memory = new MemoryVolume()
    memory.put(freshNumbers(memory.state.committed, epoch(3)))
    const lost = nextOf(memory, key) + 1000n // given away by entries that are no more
    memory.put(freshNumbers(memory.state.committed, epoch(4)))
    t.ok(nextOf(memory, key) > lost)
  }
  t.end()
})

void t.test('counters never go back, and what is counted stays', (t) => {
  const memory = new MemoryVolume()
  const beyond = { next: 1n << 60n, used: 5 }
  memory.put([{ kind: 'put', key: inodeCounter, value: encodeCounter(beyond) }])
  const effects = freshNumbers(memory.state.committed, epoch(7))
  t.equal(effects.length, 1)
  memory.put(effects)
  t.equal(nextOf(memory, inodeCounter), beyond.next)
  t.same(freshNumbers(memory.state.committed, epoch(7)), [], 'once in a reign')
  t.end()
})
