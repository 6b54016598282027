import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { Prober } from '../fixtures/prober.ts'
import { requestsOf } from '../fixtures/requests-of.ts'
import { mustRun } from '../fixtures/run.ts'
import { changesOf, closeSource, openSource, prepareSource, seesAtOnce } from '../fixtures/seen-at-once.ts'
import { waitFor } from '../fixtures/wait.ts'

// Two mounts at two servers, and kernels that cache: what one does the other sees with its next call.

/** `npm run soak` does more. */
const rounds = Number(process.env['BANYAN_ROUNDS'] ?? 20)

t.setTimeout(120_000 + rounds * 5_000)

void t.test('every kind of change is seen at once where it had been cached', async (t) => {
  const cluster = await Cluster.start(t)
  const primary = await cluster.primary()
  const [mirror = ''] = await cluster.others()
  const sides: Prober[] = []
  for (const provider of [primary, mirror]) sides.push(new Prober(await cluster.mount(`at-${provider}`, { provider })))
  t.teardown(() => {
    for (const side of sides) side.close()
  })
  const [one, other] = sides
  if (one === undefined || other === undefined) throw new Error('two sides')
  const wrong: string[] = []
  await one.ask('os.mkdir("t")')
  for (let n = 0; n < rounds; n++) {
    await one.ask(prepareSource(n))
    for (const side of sides) await side.ask(openSource(n))
    for (const [index, step] of changesOf(n).entries()) {
      const [by, to] = (index + n) % 2 === 0 ? [one, other] : [other, one]
      const found = await seesAtOnce(step, by, to)
      if (found !== undefined) wrong.push(`round ${n}, by ${by === one ? 'the primary' : 'the mirror'}’s: ${found}`)
    }
    for (const side of sides) await side.ask(closeSource)
    if (wrong.length > 5) break
  }
  t.same(wrong, [])
})

void t.test('a second walk through a tree, git status, or reading of files asks no server anything', async (t) => {
  const cluster = await Cluster.start(t)
  const path = await cluster.mount('walker')
  const make = `
    cd ${path}; git init -q .; mkdir -p a/b a/c
    for d in a a/b a/c; do for i in $(seq 40); do echo $i > $d/f$i; done; done
    ln -s f1 a/link; git add .; git -c user.name=x -c user.email=x@y commit -qm x`
  await mustRun('sh', ['-ec', make])
  for (const command of ['ls -lR', 'git --no-optional-locks status --porcelain', 'cat a/*/* | cksum']) {
    const walk = () => mustRun('sh', ['-ec', `cd ${path}; ${command}`])
    const first = await walk()
    await waitFor(
      async () => {
        const before = await requestsOf(cluster, path)
        if ((await walk()).stdout !== first.stdout) t.fail(`${command} says something else`)
        const after = await requestsOf(cluster, path)
        const asked = Object.keys(after).filter((operation) => after[operation] !== before[operation])
        if (asked.length > 0) throw new Error(asked.map((name) => `${name} ${after[name]}`).join(', '))
        return true
      },
      // What this machine has made itself settles first, and one walk fetches what is missing.
      { what: `${command} without a request`, limitMs: 20_000 },
    )
    t.pass(command)
  }
})
