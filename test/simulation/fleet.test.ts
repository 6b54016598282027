import t from 'tap'
import { Fleet } from './fleet.ts'

/** Of the week that `npm run simulate -- --scale` runs, some hours: 24 hosts, 50 volumes and 200 clients all the same. */
const short = { seed: 1, hosts: 24, volumes: 50, clients: 200, faults: 24, betweenMs: 350, quietMs: 0 }

t.setTimeout(240_000)

void t.test('many volumes on many hosts are all in sync again after what happens to hosts', async (t) => {
  const report = new Fleet(short).run()
  t.equal(report.violation, undefined, 'replay: npm run simulate -- --scale --from 1 --incidents 24 --between 350')
  t.ok(report.faults.size >= 6, `${[...report.faults.keys()].join()} happened`)
  t.ok(report.operations > 2000, `clients did ${report.operations} things`)
  for (const event of ['mirror.dropped', 'reign.ends', 'resync.done', 'operator.drained'])
    t.ok(report.events.has(event), `it happened: ${event}`)
})

void t.test('a quiet cluster asks the directory for nothing but its leases', async (t) => {
  const { violation, traffic } = new Fleet({
    ...short,
    hosts: 6,
    volumes: 10,
    clients: 20,
    faults: 0,
    quietMs: 3000,
  }).run()
  t.equal(violation, undefined)
  const { happened, standing } = traffic
  for (const [what, times] of Object.entries(happened)) t.equal(times, 0, what)
  t.equal(standing.leases, 30)
  t.equal(Math.round(standing.keepAlivesPerSecond), 60)
})
