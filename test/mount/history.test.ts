import t from 'tap'
import { churnFaults, logFaults, longest, registerFaults } from '../fixtures/history.ts'
import { type Access, churnContents, type LoadRecord, logLine } from '../fixtures/load-record.ts'

const linesOf = (id: string, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => logLine(id, from + index))

/** Two writers' lines, interleaved. */
const interleaved = () => linesOf('a', 1, 50).flatMap((line, index) => [line, logLine('b', index + 1)])
const acknowledged = new Map([
  ['a', 50],
  ['b', 50],
])

void t.test('a complete log of two writers has no fault', async (t) => {
  t.same(logFaults(interleaved().join(''), acknowledged), [])
  t.same(logFaults([...interleaved(), logLine('b', 51)].join(''), acknowledged), [], 'one may have been under way')
})

void t.test('planted faults in a log are found, each', async (t) => {
  const faulty = (change: (lines: string[]) => void) => {
    const lines = interleaved()
    change(lines)
    return logFaults(lines.join(''), acknowledged)
  }
  t.match(faulty((lines) => lines.splice(20, 1))[0], /lines 11 to 11 of a are lost/, 'a line lost in the middle')
  t.match(faulty((lines) => lines.splice(98, 1))[0], /lines 50 to 50 of a are lost at the end/, 'the last line lost')
  t.match(faulty((lines) => lines.splice(20, 0, logLine('a', 10)))[0], /line 10 of a is there again/, 'a doubled line')
  t.match(
    faulty((lines) => lines.push(logLine('a', 51), logLine('a', 52)))[0],
    /a has 52 lines/,
    'more than was written',
  )
  t.match(
    faulty((lines) => {
      lines[30] = lines[30]?.slice(0, 20) ?? ''
    })[0],
    /nobody wrote/,
    'a torn line',
  )
  t.not(
    faulty((lines) => {
      const line = lines[2] ?? ''
      lines[2] = lines[4] ?? ''
      lines[4] = line
    }).length,
    0,
    'two lines in the wrong order',
  )
  t.match(faulty((lines) => lines.push('a 51'))[0], /torn/, 'a torn end')
})

const record: LoadRecord = {
  id: 'a',
  operations: [],
  errors: [],
  appended: 0,
  synced: 0,
  names: { 'churn-a/moved/3': 3, 'churn-a/moved/6': 6 },
  accesses: [],
}

void t.test('planted faults among files made, moved and removed are found, each', async (t) => {
  const right = () => new Map(Object.entries(record.names).map(([name, number]) => [name, churnContents(number)]))
  t.same(churnFaults(right(), record), [])
  const lost = right()
  lost.delete('churn-a/moved/3')
  t.match(churnFaults(lost, record), ['churn-a/moved/3 is lost'])
  t.match(churnFaults(right().set('churn-a/moved/4', ''), record)[0], /though it was moved or removed/)
  t.match(churnFaults(right().set('churn-a/moved/3', churnContents(4)), record)[0], /other bytes/)
  const empty = { ...record, names: { 'churn-a/made/5': 0 } }
  t.same(churnFaults(new Map([['churn-a/made/5', '']]), empty), [])
  t.match(churnFaults(new Map([['churn-a/made/5', churnContents(5)]]), empty)[0], /other bytes/)
})

const access = (kind: 'read' | 'write', value: number, start: number, end: number): Access => ({
  kind,
  register: 'r',
  value,
  start,
  end,
})

void t.test('reads that no order explains are found, each', async (t) => {
  const writes = [access('write', 1, 0, 10), access('write', 2, 20, 30)]
  t.same(registerFaults([...writes, access('read', 1, 11, 12), access('read', 2, 31, 32)]), [])
  t.same(registerFaults([...writes, access('read', 1, 21, 29)]), [], 'the old value while the write is under way')
  t.same(registerFaults([...writes, access('read', 2, 15, 22)]), [], 'the new value while the write is under way')
  t.match(registerFaults([...writes, access('read', 1, 31, 32)])[0], /1 was read after 2 was known/, 'a stale read')
  t.match(registerFaults([...writes, access('read', 2, 5, 19)])[0], /before it was written/, 'a value from the future')
  t.match(
    registerFaults([...writes, access('read', 2, 21, 22), access('read', 1, 23, 24)])[0],
    /1 was read after 2/,
    'back to the old value after somebody saw the new one',
  )
})

void t.test('the longest operation is the longest of those that ended after the moment given', async (t) => {
  const operations = [
    { kind: 'long ago', start: 0, end: 90 },
    { kind: 'across', start: 95, end: 130 },
    { kind: 'later', start: 110, end: 120 },
  ]
  t.match(longest(operations, 100), { kind: 'across', ms: 35 })
  t.match(longest(operations), { kind: 'long ago', ms: 90 })
})
