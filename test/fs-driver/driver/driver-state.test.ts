import { appendFileSync, closeSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { DriverState } from '../../../fs-driver/driver/driver-state.ts'
import { handleOf, isDurableHandle, opensForWriting } from '../../../fs-driver/driver/handle-table.ts'
import { resentBit } from '../../../fs-driver/protocol/request.ts'

const negotiated = { minor: 45, flags: 0x8440000008n, maxReadahead: 131072 }

function stateFile(t: Test): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-state-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return path.join(folder, 'state')
}

void t.test('a driver that takes over knows what was negotiated and what is open', async (t) => {
  const file = stateFile(t)
  const first = DriverState.open(file, { resend: false })
  first.negotiate(negotiated)
  first.opened(1n, 7n)
  first.opened(2n, 7n)
  first.opened(3n, 8n)
  first.released(1n)
  first.released(3n)
  const second = DriverState.open(file, { resend: true }) // the first is not closed: it was killed
  t.strictSame(second.negotiated, negotiated)
  t.strictSame([second.isOpen(7n), second.isOpen(8n), second.handles.size], [true, false, 1])
  second.released(2n)
  t.notOk(second.isOpen(7n))
  second.close()
  first.close()
})

void t.test('what ends after the mount did is written nowhere', async (t) => {
  const file = stateFile(t)
  const state = DriverState.open(file, { resend: false })
  state.opened(1n, 7n)
  state.close()
  const { size } = statSync(file)
  const other = openSync(file, 'r+') // it is likely to have the number of the one that was closed
  state.opened(2n, 7n)
  state.released(1n)
  state.close()
  closeSync(other)
  t.equal(statSync(file).size, size)
  t.ok(state.isOpen(7n))
})

void t.test(
  'through which handles something may be locked is known to the next driver, also when the log was cut',
  async (t) => {
    const file = stateFile(t)
    const first = DriverState.open(file, { resend: false })
    for (const fh of [1n, 2n, 3n]) first.opened(fh, 6n + fh)
    first.locked(1n, 7n)
    first.locked(3n, 9n)
    first.released(3n)
    for (let round = 0; round < 2; round++) {
      const next = DriverState.open(file, { resend: true })
      t.strictSame(
        [next.locks.isThrough(7n, 1n), next.locks.isThrough(8n, 2n), next.locks.isThrough(9n, 3n)],
        [true, false, false],
      )
      t.ok(next.locks.mayOwn(7n, 4711n), 'whoever it was')
      next.close()
    }
    first.close()
  },
)

void t.test('a new mount begins anew', async (t) => {
  const file = stateFile(t)
  const first = DriverState.open(file, { resend: false })
  first.negotiate(negotiated)
  first.opened(1n, 7n)
  first.close()
  const second = DriverState.open(file, { resend: false })
  t.strictSame([second.negotiated, second.isOpen(7n)], [undefined, false])
  second.close()
})

void t.test('the same open, or the same release, twice counts once', async (t) => {
  const state = DriverState.open(stateFile(t), { resend: false })
  state.opened(1n, 7n)
  state.opened(1n, 7n)
  state.released(1n)
  t.notOk(state.isOpen(7n))
  state.released(1n)
  state.opened(2n, 7n)
  t.ok(state.isOpen(7n))
  state.close()
})

void t.test('the log stays short, and garbage at its end does no harm', async (t) => {
  const file = stateFile(t)
  const first = DriverState.open(file, { resend: false })
  first.negotiate(negotiated)
  first.opened(1n, 7n)
  for (let fh = 2n; fh < 20_000n; fh++) {
    first.opened(fh, 8n)
    first.released(fh)
  }
  t.ok(statSync(file).size < 24 * 8200, `${statSync(file).size} bytes`)
  appendFileSync(file, Buffer.alloc(24, 0xff))
  appendFileSync(file, 'half a record')
  const second = DriverState.open(file, { resend: true })
  t.strictSame(second.negotiated, negotiated)
  t.strictSame([second.isOpen(7n), second.isOpen(8n)], [true, false])
  second.opened(5n, 9n)
  second.close()
  const third = DriverState.open(file, { resend: true })
  t.ok(third.isOpen(9n), 'what was written after the garbage was found')
  third.close()
  first.close()
})

void t.test('a handle follows from the request, also when it is sent again', async (t) => {
  t.equal(handleOf(10n, 2), handleOf(10n | resentBit, 2))
  t.not(handleOf(10n, 2), handleOf(12n, 2))
  t.ok(handleOf((1n << 57n) - 2n, 2) < 1n << 64n)
  t.strictSame(
    [0, 1, 2, 0o2001].map((flags) => opensForWriting(handleOf(10n, flags))),
    [false, true, true, true],
  )
  t.strictSame(
    [0, 2, 0o10002, 0o4010001, 0o4000001].map((flags) => isDurableHandle(handleOf(10n, flags))),
    [false, false, true, true, false],
    'O_DSYNC, which is a part of O_SYNC',
  )
})
