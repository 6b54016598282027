import { spawn } from 'node:child_process'
import t from 'tap'
import { Callers } from '../../../fs-driver/driver/caller.ts'
import { Interruptions } from '../../../fs-driver/driver/interruptions.ts'
import { parseProcessStatus, readProcessStatus } from '../../../fs-driver/driver/process-status.ts'

/** /proc/<pid>/status, as far as it is read. Signal n is bit n - 1. */
const status = ({ own = 0n, shared = 0n, blocked = 0n, ignored = 0n, caught = 0n }) => {
  const mask = (bits: bigint) => bits.toString(16).padStart(16, '0')
  return `Name:\tls\nGroups:\t4 24 1000 \nSigPnd:\t${mask(own)}\nShdPnd:\t${mask(shared)}\nSigBlk:\t${mask(blocked)}
SigIgn:\t${mask(ignored)}\nSigCgt:\t${mask(caught)}\n`
}
const bit = (signal: number) => 1n << BigInt(signal - 1)

void t.test('a process is dying when a signal that nothing stops is on its way', async (t) => {
  const rows: readonly [what: string, text: string, dying: boolean][] = [
    ['nothing pending', status({}), false],
    ['SIGKILL', status({ own: bit(9) }), true],
    ['SIGQUIT', status({ shared: bit(3) }), true],
    ['SIGQUIT, caught', status({ shared: bit(3), caught: bit(3) }), false],
    ['SIGQUIT, blocked', status({ shared: bit(3), blocked: bit(3) }), false],
    ['SIGCHLD', status({ shared: bit(17) }), false],
    ['SIGINT, caught', status({ shared: bit(2), caught: bit(2) }), false],
    ['no status at all', '', false],
  ]
  for (const [what, text, dying] of rows) t.equal(parseProcessStatus(text).dying, dying, what)
  t.strictSame(parseProcessStatus(status({})).groups, [4, 24, 1000])
  t.strictSame(parseProcessStatus('').groups, [])
})

void t.test('the status of real processes', async (t) => {
  t.match(readProcessStatus(process.pid), { dying: false })
  const child = spawn('true')
  const pid = child.pid ?? 0
  await new Promise((resolve) => child.once('exit', resolve))
  t.equal(readProcessStatus(pid), undefined)
  t.equal(readProcessStatus(0), undefined)
})

void t.test('groups are kept for a moment, for the same process, user and group', async (t) => {
  let [reads, nowMs] = [0, 0]
  const callers = new Callers(
    () => {
      reads++
      return { groups: [27], dying: false }
    },
    () => nowMs,
  )
  const header = { opcode: 1, unique: 2n, nodeid: 1n, uid: 1000, gid: 100, pid: 42, groups: [] }
  callers.of(header, { judged: true })
  callers.of(header, { judged: true })
  t.equal(reads, 1)
  callers.of({ ...header, uid: 1001 }, { judged: true })
  t.equal(reads, 2)
  nowMs = 100
  callers.of(header, { judged: true })
  t.equal(reads, 3)
  t.strictSame(callers.of(header, { judged: false }).groups, [])
  t.equal(reads, 3)
})

void t.test('who was refused is looked up anew', async (t) => {
  let groups = [27]
  const callers = new Callers(
    () => ({ groups, dying: false }),
    () => 0,
  )
  const header = { opcode: 1, unique: 2n, nodeid: 1n, uid: 1000, gid: 100, pid: 42, groups: [] }
  const before = callers.of(header, { judged: true })
  t.equal(callers.anew(header, before), undefined, 'the same groups, the same answer')
  groups = [27, 50]
  t.strictSame(callers.of(header, { judged: true }).groups, [27], 'kept for a moment')
  t.strictSame(callers.anew(header, before)?.groups, [27, 50])
  t.strictSame(callers.of(header, { judged: true }).groups, [27, 50])
  t.equal(callers.anew({ ...header, uid: 0 }, before), undefined, 'root has no need')
})

void t.test('an interrupted request is given up when its process dies, or after a long wait', async (t) => {
  let [dying, nowMs] = [false, 0]
  const interruptions = new Interruptions(
    () => ({ groups: [], dying }),
    () => nowMs,
  )
  const aborted: string[] = []
  const add = (unique: bigint, pid: number) =>
    interruptions.add(unique, { pid, abort: () => void aborted.push(`${unique}`) })
  add(2n, 42)
  add(4n, 43)
  interruptions.look()
  t.strictSame(aborted, [])
  interruptions.remove(4n)
  dying = true
  interruptions.look()
  interruptions.look()
  t.strictSame(aborted, ['2'], 'once, and not what was answered meanwhile')
  dying = false
  add(6n, 44)
  add(8n, 0)
  t.strictSame(aborted, ['2'], 'of process 0 nothing is known')
  nowMs = 5_000
  interruptions.look()
  t.strictSame(aborted, ['2', '6', '8'])
})
