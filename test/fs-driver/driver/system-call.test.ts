import { spawn } from 'node:child_process'
import t from 'tap'
import { isRename, renaming } from '../../../fs-driver/driver/system-call.ts'

void t.test('what a thread is in is read from what the kernel shows of it', (t) => {
  const rest = '0xffffff9c 0x7ffd 0xffffff9c 0x7ffd 0x0 0x0 0x7ffd 0x7f2a\n'
  for (const number of [82, 264, 316]) t.equal(isRename(`${number} ${rest}`, 'x64'), true, String(number))
  t.equal(isRename(`276 ${rest}`, 'arm64'), true)
  for (const text of [`83 ${rest}`, 'running\n', '-1 0x7ffd 0x7f2a\n', '', 'x', '82'])
    t.equal(isRename(text, 'x64'), false, text)
  t.equal(isRename(`82 ${rest}`, 'mips'), false, 'a machine that we know nothing of')
  t.end()
})

void t.test('who is not there, or does something else, renames nothing', async (t) => {
  const child = spawn('sleep', ['60'])
  t.teardown(() => child.kill('SIGKILL'))
  for (const pid of [0, 2 ** 30, process.pid, child.pid ?? 0]) t.equal(await renaming(pid), undefined)
})
