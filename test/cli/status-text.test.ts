import t from 'tap'
import { type Asked, assemble, type ClusterView, type MemberView } from '../../cli/show/cluster-view.ts'
import { percent, resyncText, statusText } from '../../cli/show/status-text.ts'
import type { StatusReply } from '../../proto/generated/admin-service.ts'
import { epoch, nodeId } from '../../proto/ids.ts'
import { newRecord } from '../../replication/record.ts'

const gib = 2 ** 30

const member = (name: string, more: Partial<MemberView> = {}): MemberView => ({
  name,
  state: 'in-sync',
  runs: true,
  here: true,
  pid: 12345,
  address: `unix:/root/.banyan/run/${name}.sock`,
  applied: 1_234_567,
  committed: 1_234_567,
  behindEntries: 0,
  behindBytes: 0,
  resync: null,
  reason: '',
  drained: false,
  ...more,
})

const view = (members: readonly MemberView[], more: Partial<ClusterView['volumes'][number]> = {}): ClusterView => ({
  volumes: [
    {
      name: 'main',
      at: '/',
      epoch: 7,
      primary: 's1',
      members,
      space: { freeBytes: 12 * gib, totalBytes: 50 * gib },
      orphans: 0,
      poisoned: 0,
      cutOff: null,
      ...more,
    },
  ],
  mounts: [{ path: '/cluster', pid: 4711, provider: 's1' }],
})

const widest = (text: string): number => Math.max(...text.split('\n').map((line) => Array.from(line).length))

void t.test('all is well: nothing stands before the heading', async (t) => {
  const text = statusText(view([member('s1'), member('s2'), member('s3')]), '')
  t.equal(text.split('\n')[0], 'volume main: 3 of 3 members in sync, primary s1, epoch 7')
  t.match(text, /^s1 +in-sync +primary +12345 +1,234,567 +1,234,567 +0 +unix:\/root/m)
  t.match(text, /^s2 +in-sync +mirror/m)
  t.match(text, /12\.0 GiB free of 50\.0 GiB/)
  t.match(text, /^s1 +4711 +\/cluster$/m)
})

void t.test('what needs attention stands first, with what to do, also in the table', async (t) => {
  const down = member('s3', {
    state: 'down',
    runs: false,
    pid: null,
    reason: 'was ended by SIGKILL',
    behindEntries: 12_000,
  })
  const text = statusText(view([member('s1'), member('s2'), down]), ' --state /x')
  const lines = text.split('\n')
  t.equal(lines[0], '! s3 is down: was ended by SIGKILL. Start it: banyan server start s3 --state /x')
  const row = (name: string): number => lines.findIndex((line) => line.startsWith(`${name} `))
  t.ok(row('s3') < row('s1'), 'the member that is down is the first row')
})

void t.test('a drained member is shown so, with what ends it', async (t) => {
  const text = statusText(view([member('s1'), member('s2', { drained: true })]), ' --state /x')
  t.match(text, /^! s2 is drained: .*clients read elsewhere/)
  t.match(text.replaceAll(/\n +/g, ' '), /banyan node drain s2 --end --state \/x/)
  t.match(text, /^s2 +in-sync +mirror, drained/m)
  t.match(text, /^s1 +in-sync +primary +12345/m)
})

void t.test('each trouble is named', async (t) => {
  const low = { freeBytes: gib, totalBytes: 50 * gib }
  const text = statusText(
    {
      ...view([member('s1', { state: 'resyncing' })], { primary: null, space: low, poisoned: 2 }),
      mounts: [{ path: '/lost', pid: 1, provider: null }],
    },
    '',
  )
  for (const trouble of [
    /^! No primary/m,
    /^! s1 is resyncing/m,
    /^! Only 1\.0 GiB/m,
    /^! 2 requests/m,
    /^! The mount at \/lost/m,
  ]) {
    t.match(text, trouble)
  }
})

void t.test('no line is wider than 100 columns, whatever stands in it', async (t) => {
  const resync = {
    bytesDone: 8e12,
    bytesTotal: 9e15,
    filesDone: 123_456_789,
    filesTotal: 987_654_321,
    bytesPerSecond: 1,
  }
  const long = 'x'.repeat(300)
  const members = [
    member('a-member-with-quite-a-long-name', {
      state: 'resyncing',
      resync,
      applied: 9e15,
      committed: 9e15,
      behindEntries: 9e12,
      behindBytes: 9e15,
      address: `unix:/${long}`,
    }),
    member('s2', { state: 'down', pid: null, reason: `it said ${long} and ${'many words '.repeat(40)}` }),
  ]
  const text = statusText(
    { ...view(members), mounts: [{ path: `/${long}`, pid: 1, provider: null }] },
    ` --state /${long}`,
  )
  t.ok(widest(text) <= 100, `${widest(text)} columns:\n${text}`)
})

void t.test('a side without directory and primary is named first, with what it does', async (t) => {
  const first = (cutOff: 'read' | 'stop'): string =>
    statusText(view([member('s1'), member('s2', { state: 'down' })], { primary: null, cutOff }), '').split(
      '\nvolume ',
    )[0] ?? ''
  t.match(first('read'), /^! Cut off: [^!]*on-partition=read/)
  t.match(first('stop'), /^! Cut off: [^!]*on-partition=stop/)
})

void t.test('progress is by bytes, or by files while no bytes are known, and says how long it takes', async (t) => {
  const resync = { bytesDone: gib, bytesTotal: 4 * gib, filesDone: 5, filesTotal: 10, bytesPerSecond: gib / 10 }
  t.equal(percent(resync), 25)
  t.equal(percent({ ...resync, bytesDone: 0, bytesTotal: 0 }), 50)
  t.equal(percent({ ...resync, bytesTotal: 0, filesTotal: 0 }), 0)
  t.equal(resyncText(resync), '25 %, 1.0 GiB of 4.0 GiB, 5 of 10 files, 102 MiB/s, 30 s left')
})

const reply = (node: string, more: Partial<StatusReply>): StatusReply => ({
  volume: 'main',
  epoch: 1n,
  primary: 's1',
  node,
  role: 'mirror',
  serving: true,
  cutOff: '',
  members: [],
  sessions: [],
  space: undefined,
  orphans: 0n,
  poisoned: 0n,
  leases: undefined,
  ...more,
})
const running = {
  pid: 1,
  volume: 'main',
  servers: ['s1', 's2'].map((name) => ({
    name,
    state: name === 's1' ? 'running' : 'ended',
    pid: name === 's1' ? 100 : 0,
    incarnation: '',
    address: `unix:/run/${name}.sock`,
    reason: name === 's1' ? '' : 'was ended by SIGKILL',
  })),
  mounts: [{ path: '/cluster', pid: 9, provider: '' }],
}

const seen = (servers: Asked['servers'], record: Asked['record'], replies: Asked['replies']): ClusterView =>
  assemble([{ name: 'main', servers, record, replies }], running.mounts, 'h')

void t.test('status believes the primary of the greatest epoch, and the supervisor about processes', async (t) => {
  const wire = {
    pid: 0,
    address: '',
    incarnation: '',
    primary: false,
    applied: 5n,
    committed: 5n,
    behindEntries: 1n,
    behindBytes: 2n,
    resync: undefined,
    space: undefined,
  }
  const session = { session: 1n, host: 'h', pid: 9, path: '/cluster', provider: 's1' }
  const view = seen(running.servers, newRecord([nodeId('s1'), nodeId('s2')]), [
    reply('s2', { epoch: 2n, primary: 's2', role: 'primary', members: [{ ...wire, name: 's1', state: 'down' }] }),
    reply('s1', {
      epoch: 3n,
      role: 'primary',
      members: [
        { ...wire, name: 's1', state: 'in-sync' },
        { ...wire, name: 's2', state: 'in-sync' },
      ],
      sessions: [
        { ...session, host: 'elsewhere', provider: 's2', requests: 0n, heartbeats: 0n, leases: 0n },
        { ...session, requests: 0n, heartbeats: 0n, leases: 0n },
      ],
    }),
  ])
  const [volume] = view.volumes
  t.match(volume, { epoch: 3, primary: 's1' })
  t.match(volume?.members, [
    { name: 's1', state: 'in-sync', pid: 100, applied: 5 },
    { name: 's2', state: 'down', pid: null, reason: 'was ended by SIGKILL' },
  ])
  t.same(view.mounts, [{ path: '/cluster', pid: 9, provider: 's1' }])
})

void t.test('how far a member is that went down before its primary became one is not known', async (t) => {
  const known = {
    pid: 0,
    address: '',
    incarnation: '',
    primary: false,
    committed: 9n,
    behindEntries: 9n,
    behindBytes: 99n,
  }
  const s2 = { ...known, name: 's2', state: 'down', applied: 0n, resync: undefined, space: undefined }
  const record = newRecord([nodeId('s1'), nodeId('s2')])
  const [volume] = seen(running.servers, record, [reply('s1', { epoch: 3n, role: 'primary', members: [s2] })]).volumes
  t.match(volume?.members[1], { state: 'down', applied: null, committed: 9, behindEntries: null, behindBytes: null })
})

void t.test('with no server to ask, the record tells', async (t) => {
  const record = { ...newRecord([nodeId('s1'), nodeId('s2')]), epoch: epoch(4), primary: nodeId('s2') }
  const [volume] = seen(
    running.servers.map((server) => ({ ...server, state: 'ended', pid: 0 })),
    record,
    [],
  ).volumes
  t.match(volume, { epoch: 4, primary: 's2', space: null })
  t.same(
    volume?.members.map(({ state, applied }) => [state, applied]),
    [
      ['down', null],
      ['down', null],
    ],
  )
})

void t.test('of several volumes, what needs attention stands first, with its volume; then one after the other', (t) => {
  const one = view([member('s1')])
  const [work] = view([member('s2', { state: 'resyncing' })], { name: 'work', at: '/work', primary: 's2' }).volumes
  const [loose] = view([member('s3')], { name: 'loose', at: null, primary: 's3' }).volumes
  if (work === undefined || loose === undefined) throw new Error('views of one volume have one')
  const lines = statusText({ ...one, volumes: [...one.volumes, work, loose] }, '').split('\n')
  t.equal(lines[0], '! volume work: s2 is resyncing.')
  t.same(
    lines.filter((line) => line.startsWith('volume ')).map((line) => line.split(':')[0]),
    ['volume main', 'volume work at /work', 'volume loose at no place in the tree'],
  )
  t.end()
})
