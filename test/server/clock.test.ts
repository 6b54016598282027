import t from 'tap'
import { FileTimes, HostClock } from '../../server/clock.ts'

void t.test('time passes while the machine is suspended, and a step of the wall clock is no time', async (t) => {
  const at = { hrtime: 1000, wall: 1_000_000, uptime: 50_000 }
  const clock = new HostClock({ hrtimeMs: () => at.hrtime, wallMs: () => at.wall, uptimeMs: () => at.uptime })
  const start = clock.now()
  const pass = (ms: number, how: { readonly suspended?: boolean }): void => {
    at.wall += ms
    at.uptime += ms
    if (how.suspended !== true) at.hrtime += ms
  }
  pass(300, {})
  t.equal(clock.now() - start, 300)
  pass(5000, { suspended: true })
  t.equal(clock.now() - start, 5300)
  at.wall -= 3_600_000
  t.equal(clock.now() - start, 5300)
  pass(100, {})
  pass(7000, { suspended: true })
  t.equal(clock.now() - start, 12_400)
})

void t.test('times of files grow, however fast they are asked for', async (t) => {
  const { nowNs } = new FileTimes()
  const times = Array.from({ length: 1000 }, () => nowNs())
  t.ok(times.every((time, index) => index === 0 || time > (times[index - 1] ?? 0n)))
  t.ok(Math.abs(Number(times[0]) / 1e6 - Date.now()) < 1000)
})

void t.test('the times of files follow a clock that is set, both ways', async (t) => {
  const clock = { hrtime: 5000.25, wall: 1_700_000_000_000 }
  const hour = 3_600_000
  const { nowNs } = new FileTimes({ hrtimeMs: () => clock.hrtime, wallMs: () => Math.floor(clock.wall) })
  const shows = (): number => Number(nowNs() / 1000n) / 1000
  t.equal(shows(), clock.wall)
  clock.hrtime += 10.5
  clock.wall += 10.5
  t.equal(shows(), 1_700_000_000_010.5)
  clock.wall += hour
  t.equal(Math.round(shows() - clock.wall), 0, 'an hour on')
  clock.wall -= hour
  t.equal(Math.round(shows() - clock.wall), 0, 'and back')
  const before = nowNs()
  clock.wall -= 100
  t.equal(nowNs(), before + 1n, 'a little back, as when a clock is kept right, is waited for')
})
