import t from 'tap'
import { TestLab } from '../fixtures/lab-of.ts'

// All hosts have lost power, and some come back at the same moment while there is no network: none of them may serve, since
// each could believe that the others are gone. When the network is there they do, with all that was acknowledged.

t.setTimeout(400_000)
const hosts = await TestLab.start(t, { servers: 3 })
const { lab } = hosts
/** Far longer than leases last, and shorter than operations wait. */
const triedS = '12'

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
