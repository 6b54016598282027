import t from 'tap'
import { Failures } from '../../../fs-driver/write-behind/failures.ts'

/** By inode: the handles that are open. */
function failuresOf(open: Readonly<Record<string, readonly bigint[]>> = {}): Failures {
  return new Failures({ open: { handlesOf: (ino) => open[String(ino)] ?? [] } })
}

void t.test('every descriptor that was open says it once', async (t) => {
  const failures = failuresOf({ 5: [1n, 2n, 3n] })
  failures.failed(5n, 'EIO')
  t.equal(failures.atSync(1n, 5n), 'EIO')
  t.equal(failures.atSync(1n, 5n), undefined)
  t.equal(failures.atHandle(2n, 5n), 'EIO')
  t.equal(failures.atHandle(2n, 5n), undefined)
  failures.closed(3n)
  t.equal(failures.atHandle(3n, 5n), undefined, 'its number may be given again')
})

void t.test('if none has, the next that asks is told', async (t) => {
  const failures = failuresOf({ 5: [1n] })
  failures.failed(5n, 'EIO')
  failures.closed(1n)
  t.equal(failures.atHandle(7n, 5n), undefined, 'a write has nothing to do with it')
  t.equal(failures.atSync(7n, 6n), undefined, 'that is another inode')
  t.equal(failures.atSync(7n, 5n), 'EIO')
  t.equal(failures.atSync(8n, 5n), undefined, 'somebody was')
})

void t.test('who opens it after somebody was told is not', async (t) => {
  const failures = failuresOf({ 5: [1n, 2n] })
  failures.failed(5n, 'ENOSPC')
  t.equal(failures.atHandle(1n, 5n), 'ENOSPC')
  t.equal(failures.atSync(7n, 5n), undefined)
  t.equal(failures.atSync(2n, 5n), 'ENOSPC', 'the other was open')
})

void t.test('nobody asks about very many', async (t) => {
  const failures = failuresOf()
  for (let ino = 1n; ino <= 5000n; ino++) failures.failed(ino, 'EIO')
  t.equal(failures.atSync(1n, 1n), undefined, 'the oldest are forgotten')
  t.equal(failures.atSync(1n, 5000n), 'EIO')
})
