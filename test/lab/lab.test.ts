import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Lab } from '../../scripts/network-lab/lab.ts'
import { namespaceFile } from '../../scripts/network-lab/namespaces.ts'
import { checkout } from '../fixtures/program.ts'
import { mustRun, run } from '../fixtures/run.ts'
import { memoryOf, mountsBelow, sweep } from '../fixtures/sweep.ts'

// The lab itself: a cut link is cut, in the direction that was said; and nothing is left of it.

t.setTimeout(300_000)
const folder = mkdtempSync(join(tmpdir(), 'banyan-test-'))
t.teardown(() => sweep(folder))

/** How many of 100 packets from one host arrive at another. */
async function arriving(lab: Lab, from: string, to: string): Promise<number> {
  const address = lab.hosts.find(({ name }) => name === to)?.address ?? ''
  const receive = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9)); print('ready', flush=True)
got = set()
while True:
    data = s.recv(100)
    if data == b'end': break
    got.add(data)
print(len(got))`
  const send = (what: string): string =>
    `import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); [s.sendto(b, ('${address}', 9)) for b in ${what}]`
  const output = `received-${from}`
  rmSync(lab.place(to, output), { force: true })
  const receiver = lab.spawn(to, ['python3', '-c', receive], output)
  const said = async (): Promise<string> => readFileSync(lab.place(to, output), 'utf8')
  while (!(await said()).includes('ready')) await mustRun('true', [])
  await lab.exec(from, ['python3', '-c', send('[str(i).encode() for i in range(100)]')])
  await lab.exec(to, ['python3', '-c', send(`[b'end']`)]) // from itself, so that it always comes
  while (receiver.exitCode === null) await mustRun('true', [])
  return Number((await said()).trim().split('\n').at(-1))
}

void t.test('links are cut, lossy and good again as one says', async (t) => {
  const lab = await Lab.make(join(folder, 'network'), { servers: 2, directory: 'embedded' })
  t.equal(await arriving(lab, 'a', 'b'), 100)
  await lab.cut('a', 'b', { oneWay: true })
  t.same([await arriving(lab, 'a', 'b'), await arriving(lab, 'b', 'a')], [0, 100], 'one way')
  await lab.cut('a', 'b')
  t.same([await arriving(lab, 'a', 'b'), await arriving(lab, 'b', 'a')], [0, 0], 'both ways')
  t.equal(await arriving(lab, 'a', 'd'), 100, 'no other link')
  t.same(Lab.open(lab.folder).faults, lab.faults, 'another process knows of it')
  await lab.lose('a', 'b', 50)
  const half = await arriving(lab, 'a', 'b')
  t.ok(half > 15 && half < 85, `${half} of 100 arrive when half are lost`)
  await lab.heal()
  t.same([await arriving(lab, 'a', 'b'), await arriving(lab, 'b', 'a')], [100, 100], 'healed')
  await t.rejects(lab.cut('a', 'q'), { message: /there is no host q: name one of a, b, d/ })
  await lab.down()
})

void t.test('a whole cluster comes up with the command, loses a host, and leaves nothing behind', async (t) => {
  const place = join(folder, 'cluster')
  const command = (...args: string[]): ReturnType<typeof run> =>
    run(process.execPath, [join(checkout, 'build/scripts/lab.js'), '--folder', place, ...args], { limitMs: 120_000 })
  const up = await command('up', '2', '--clients', '1', '--directory', 'embedded')
  t.equal(up.code, 0, up.stderr)
  t.match(up.stdout, /volume main: 2 of 2 members in sync/)
  t.match((await command('exec', 'x', 'sh', '-c', 'echo hello > tree/f; cat ../a/tree/f')).stdout, /^hello\n$/)
  t.match((await command('up', '2')).stderr, /there is a lab in/)
  t.equal((await command('kill', 'a')).code, 0)
  t.match((await command('status')).stdout, /^a .* is down$/m)
  const namespace = statSync(namespaceFile(place, 'b')).ino
  t.equal((await command('down')).code, 0)
  t.notOk(existsSync(place))
  t.same(mountsBelow(folder), [])
  t.same(memoryOf(folder), [])
  const holders = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && netOf(pid) === `net:[${namespace}]`)
  t.same(holders, [], 'no process is left in a namespace')
})

function netOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch {
    return '' // it has ended meanwhile
  }
}
