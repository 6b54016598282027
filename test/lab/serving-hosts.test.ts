import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { TestLab } from '../fixtures/lab-of.ts'
import { mustRun, type Ran } from '../fixtures/run.ts'
import { loadFaults, now, RunningLoad, reportStall } from '../fixtures/running-load.ts'
import { waitFor } from '../fixtures/wait.ts'

// Hosts that serve and mount. The driver of one and its file server die at the same moment, under programs: its supervisor starts
// both again. Then all hosts lose power, and some come back at the same moment while there is no network: none of them may serve,
// since each could believe that the others are gone. When the network is there they do, with all that was acknowledged.

t.setTimeout(400_000)
const hosts = await TestLab.start(t, { servers: 3 })
const { lab } = hosts
/** Far longer than leases last, and shorter than operations wait. */
const triedS = '12'
const deaths = 3

/** A loop of programs on the tree of `a`, until a file is there that is no part of the tree. @returns what it says at its end */
function looping(name: string, script: string): () => Promise<Ran> {
  const end = join(hosts.folder, `${name}.end`)
  const loop = `set -e; end="$0"; cd tree; n=0; while [ ! -e "$end" ]; do n=$((n + 1)); ${script}; done; echo "rounds $n"`
  const ran = lab.exec('a', ['sh', '-c', loop, end], { limitMs: 240_000 })
  return () => {
    writeFileSync(end, '')
    return ran
  }
}

const fio =
  'fio --name=verified --filename=fio --size=8M --rw=randwrite --bsrange=4k-64k --verify=crc32c --fsync=32 --randrepeat=0 --output=/dev/null'
const git =
  '[ $n -gt 1 ] || git init -q repository; echo $n > repository/file-$n; git -C repository add .; git -C repository -c user.name=a -c user.email=a@b -c gc.auto=0 commit -qm $n'

void t.test('driver and file server of one host die together, under fio and git, and nobody sees it', async (t) => {
  const loops = { fio: looping('fio', fio), git: looping('git', git) }
  const load = await RunningLoad.start(hosts.folder, [{ id: 'a', directory: join(lab.tree('a'), 'work') }])
  await load.progress(200)
  const began = now()
  for (let death = 1; death <= deaths; death += 1) {
    const dead = [hosts.serverPid('a'), hosts.driverPid('a')]
    for (const pid of dead) process.kill(pid, 'SIGKILL')
    const others = () => ![hosts.serverPid('a'), hosts.driverPid('a')].some((pid) => dead.includes(pid)) || undefined
    await waitFor(others, { what: 'both to be started again', limitMs: 60_000 })
    await load.progress(200)
  }
  const records = await load.stop()
  reportStall(t, `death of driver and server, ${deaths} times`, records, began)
  for (const [name, end] of Object.entries(loops)) {
    const { code, stderr, stdout } = await end()
    t.equal(code, 0, `${name}: ${stdout}${stderr}`)
    if (name !== 'git') continue
    const repository = join(lab.tree('b'), 'repository')
    await mustRun('git', ['-c', 'safe.directory=*', '-C', repository, 'fsck', '--full', '--strict'])
    const counted = await mustRun('git', ['-c', 'safe.directory=*', '-C', repository, 'rev-list', '--count', 'HEAD'])
    t.equal(`rounds ${counted.stdout}`, stdout, 'every commit is there, once, on another host')
  }
  t.same(await loadFaults(join(lab.tree('b'), 'work'), records), [], 'no error, nothing lost, nothing twice')
  await lab.inSync()
  await hosts.verifyEqual('b')
})

void t.test('two hosts that start without a network serve no change, and begin when there is one', async (t) => {
  const write = await lab.exec('a', ['sh', '-c', 'echo before > tree/file && sync tree/file'], { limitMs: 60_000 })
  t.equal(write.code, 0, write.stderr)
  await Promise.all(lab.servers.map((name) => lab.kill(name)))
  for (const name of lab.servers) await lab.isolate(name)
  await Promise.all(['a', 'b'].map((name) => lab.start(name)))
  const tries = await Promise.all(
    ['a', 'b'].map((name) =>
      lab.exec(name, ['timeout', triedS, 'sh', '-c', `echo alone > tree/alone-${name}`], { limitMs: 60_000 }),
    ),
  )
  for (const { code, stderr } of tries) t.not(code, 0, `the write was not made: ${stderr}`)
  const statuses = await Promise.all(['a', 'b'].map((name) => hosts.status(name)))
  t.same(
    statuses.map(({ volumes }) => volumes[0]?.primary),
    [null, null],
    'nobody believes to lead',
  )

  await lab.heal()
  await lab.start('c')
  await lab.inSync()
  const read = await lab.exec('b', ['sh', '-c', 'cat tree/file && echo after > tree/file && cat tree/file'], {
    limitMs: 60_000,
  })
  t.equal(read.stdout, 'before\nafter\n', read.stderr)
  await hosts.verifyEqual('c')
})
