import t from 'tap'
import { calls } from '../../fixtures/calls.ts'
import { type LeasingMount, mountLeasing, settleInKernel } from '../../fixtures/leasing-mount.ts'
import { waitFor } from '../../fixtures/wait.ts'

/** Asks until nothing of it goes over the network any more: all of it is leased. */
async function settle(mount: LeasingMount, ask: () => Promise<unknown>): Promise<unknown> {
  return waitFor(
    async () => {
      const before = mount.provider.requests()
      const answer = await ask()
      return mount.provider.requests() === before ? { answer } : undefined
    },
    { what: 'answers without requests', limitMs: 10_000 },
  ).then(({ answer }) => answer)
}

void t.test('what is leased is not asked for again', async (t) => {
  const mount = await mountLeasing(t)
  const probe = mount.prober()
  await probe.ask('for i in range(20):\n os.mkdir(f"d{i}")\n for j in range(5): open(f"d{i}/f{j}", "w").write("x" * j)')
  await probe.ask('os.symlink("d1/f1", "link")')
  const walk = () =>
    probe.ask(
      '[(p, sorted(d), sorted(f), [os.lstat(p + "/" + n).st_size for n in sorted(f)]) for p, d, f in os.walk(".")]',
    )
  const seen = await settle(mount, walk)
  t.same(await settle(mount, walk), seen)
  await settle(mount, () => probe.ask('[text(f"d{i}/f4") for i in range(20)]'))
  await settle(mount, () => probe.ask('os.path.exists("nobody"), os.readlink("link"), os.listxattr("d1")'))
  t.same(mount.errors, [])
})

/** Each: made ready here, looked at until it is cached, changed elsewhere, looked at once. */
const changes: readonly {
  readonly what: string
  readonly ready?: string
  /** After what was made ready has been closed, of which the kernel tells late: till then no pages are filled. */
  readonly open?: string
  readonly look: string
  readonly before: unknown
  readonly change: (mount: LeasingMount) => Promise<void>
  readonly after: unknown
  /** Then the kernel answers it, not the driver. */
  readonly byKernel?: true
}[] = [
  {
    byKernel: true,
    what: 'a name that was absent',
    look: 'os.path.exists("new")',
    before: false,
    change: ({ provider }) => provider.change(calls.create('new')),
    after: true,
  },
  {
    what: 'a listing gets a name',
    look: '"listed" in names(".")',
    before: false,
    change: ({ provider }) => provider.change(calls.mkdir('listed')),
    after: true,
  },
  {
    what: 'a name goes',
    ready: 'open("gone", "w").close()',
    look: '(os.path.exists("gone"), "gone" in names("."))',
    before: [true, true],
    change: ({ provider }) => provider.change(calls.unlink('gone')),
    after: [false, false],
  },
  {
    what: 'a name means another file',
    ready: 'open("one", "w").write("1"); open("two", "w").write("2")',
    look: '(text("one"), os.path.exists("two"))',
    before: ['1', true],
    change: ({ provider }) => provider.change(calls.rename('two', 'one')),
    after: ['2', false],
  },
  {
    byKernel: true,
    what: 'another name for a file',
    ready: 'open("named", "w").close()',
    look: '(os.stat("named").st_nlink, os.path.exists("also"))',
    before: [1, false],
    change: ({ provider }) => provider.change(calls.link(provider.inodeOf('named'), 'also')),
    after: [2, true],
  },
  {
    byKernel: true,
    what: 'mode',
    ready: 'open("mode", "w").close(); os.chmod("mode", 0o600)',
    look: 'os.stat("mode").st_mode & 0o777',
    before: 0o600,
    change: ({ provider }) => provider.change(calls.chmod(provider.inodeOf('mode'), 0o640)),
    after: 0o640,
  },
  {
    byKernel: true,
    what: 'attributes of an open file',
    ready: 'open("fstat", "w").close()',
    open: 'fd = os.open("fstat", os.O_RDONLY)',
    look: 'os.fstat(fd).st_size',
    before: 0,
    change: ({ provider }) => provider.change(calls.truncate(provider.inodeOf('fstat'), 9n)),
    after: 9,
  },
  {
    what: 'extended attributes, one that was absent too',
    ready: 'open("x", "w").close(); os.setxattr("x", "user.a", b"1")',
    look: '(os.getxattr("x", "user.a").decode(), "user.b" in os.listxattr("x"))',
    before: ['1', false],
    change: async ({ provider }) => {
      await provider.change(calls.setxattr(provider.inodeOf('x'), 'user.a', '2'))
      await provider.change(calls.setxattr(provider.inodeOf('x'), 'user.b', '3'))
    },
    after: ['2', true],
  },
  {
    what: 'contents, opened each time',
    ready: 'open("text", "w").write("old " * 5000)',
    look: 'text("text")[:8]',
    before: 'old old ',
    change: ({ provider }) => provider.change(calls.write(provider.inodeOf('text'), 'new ')),
    after: 'new old ',
  },
  {
    byKernel: true,
    what: 'contents by an open descriptor',
    ready: 'open("open", "w").write("old " * 5000)',
    open: 'r = os.open("open", os.O_RDONLY)',
    look: 'os.pread(r, 8, 4096)',
    before: 'old old ',
    change: ({ provider }) => provider.change(calls.write(provider.inodeOf('open'), 'new ', 4096n)),
    after: 'new old ',
  },
  {
    byKernel: true,
    what: 'a file that grows, by an open descriptor',
    ready: 'open("grows", "w").write("1234")',
    open: 'g = os.open("grows", os.O_RDONLY)',
    look: 'os.pread(g, 100, 0)',
    before: '1234',
    change: ({ provider }) => provider.change(calls.write(provider.inodeOf('grows'), '5678', 4n)),
    after: '12345678',
  },
  {
    what: 'a file that shrinks, by an open descriptor',
    ready: 'open("shrinks", "w").write("1234")',
    open: 's = os.open("shrinks", os.O_RDONLY)',
    look: 'os.pread(s, 100, 0)',
    before: '1234',
    change: ({ provider }) => provider.change(calls.truncate(provider.inodeOf('shrinks'), 2n)),
    after: '12',
  },
  {
    byKernel: true,
    what: 'contents through a mapping',
    ready: 'open("mapped", "w").write("old " * 5000)',
    open: 'm = mmap.mmap(os.open("mapped", os.O_RDONLY), 0, mmap.MAP_SHARED, mmap.PROT_READ)',
    look: 'm[8192:8200]',
    before: 'old old ',
    change: ({ provider }) => provider.change(calls.write(provider.inodeOf('mapped'), 'new ', 8192n)),
    after: 'new old ',
  },
  {
    byKernel: true,
    what: 'contents through a mapping that may be written to',
    ready: 'open("shared", "w").write("old " * 5000); w = mmap.mmap(os.open("shared", os.O_RDWR), 0)',
    look: 'w[8192:8200]',
    before: 'old old ',
    change: ({ provider }) => provider.change(calls.write(provider.inodeOf('shared'), 'new ', 8192n)),
    after: 'new old ',
  },
]

void t.test('what another machine changes is seen with the next call, although it was cached', async (t) => {
  const mount = await mountLeasing(t)
  const probe = mount.prober()
  for (const { ready } of changes) if (ready !== undefined) await probe.ask(ready)
  for (const { what, open, look, before, change, after, byKernel } of changes) {
    await t.test(what, async (t) => {
      if (open !== undefined) await probe.ask(open)
      const settled = byKernel === true ? settleInKernel : settle
      t.same(await settled(mount, () => probe.ask(look)), before)
      const recalls = mount.provider.recalls.length
      await change(mount)
      t.same(await probe.ask(look), after)
      const took = mount.provider.recalls.slice(recalls).map(({ ms }) => Math.round(ms))
      t.ok(took.length > 0 && took.every((ms) => ms < 1000), `recalls took ${took.join(', ')} ms`)
    })
  }
  t.same(mount.errors, [])
})
