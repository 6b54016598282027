import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { Draft } from '../../../server/filesystem/draft.ts'
import { changeInode, loadInode } from '../../../server/filesystem/inode.ts'
import { dentriesKey, nameHash } from '../../../server/store/keys.ts'
import { encodeDentries, typeRegular } from '../../../server/store/records.ts'
import { FileCalls } from '../../fixtures/file-calls.ts'
import { type MemoryMount, mountMemory } from '../../fixtures/memory-mount.ts'
import { mustRun } from '../../fixtures/run.ts'

// A directory of very many names, and places in it that stay true while names come and go.

t.setTimeout(120_000)

const many = 200_000
/** What the driver may grow by while it lists them: their names alone are 4 MiB, listed some times over. */
const growthBytesMax = 96 << 20

let mount: MemoryMount
t.before(async () => {
  mount = await mountMemory()
})
t.teardown(() => mount.close())

const places = `
import ctypes, os, sys
os.chdir(sys.argv[1]); os.mkdir('d')
for i in range(1000): open('d/%d' % i, 'w').close()
libc = ctypes.CDLL(None)
libc.opendir.restype = ctypes.c_void_p; libc.readdir.restype = ctypes.c_void_p; libc.telldir.restype = ctypes.c_long
libc.readdir.argtypes = libc.telldir.argtypes = libc.rewinddir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
d = libc.opendir(b'd')
def name():
    at = libc.readdir(d)
    return None if not at else ctypes.string_at(at + 19).decode()
order, places = [], []
for _ in range(500):
    places.append(libc.telldir(d)); order.append(name())
for i in range(1000, 1500): open('d/%d' % i, 'w').close()
gone = [n for n in order if n not in ('.', '..')][::5]
for n in gone: os.unlink('d/' + n)
same = True
for at in range(499, 0, -7):
    libc.seekdir(d, places[at]); found = name()
    while found is not None and found.isdigit() and int(found) >= 1000: found = name()
    if order[at] not in gone: same = same and found == order[at]
print('same', same)
libc.seekdir(d, places[250]); rest = []
while (n := name()) is not None: rest.append(n)
print('none twice', len(set(rest)) == len(rest))
stayed = [str(i) for i in range(1000) if str(i) not in gone]
print('none missing', set(stayed) <= set(rest) | set(order[:250]))
libc.rewinddir(d); all = []
while (n := name()) is not None: all.append(n)
print('rewound', sorted(all) == sorted(os.listdir('d') + ['.', '..']))
`

/** Names of one file, put into the state as `link` would: to make each by itself takes too long. */
function fill(directory: bigint, file: bigint): void {
  const { volume } = mount.client
  const draft = new Draft(volume)
  for (let index = 0; index < many; index++) {
    const name = Buffer.from(`name-${index}`)
    const dentry = { slot: 0, ino: file, type: typeRegular, name }
    draft.put(dentriesKey(directory, nameHash(name)), encodeDentries([dentry]))
  }
  changeInode(draft, directory, loadInode(volume, directory), { entries: many })
  volume.apply(draft.effects())
}

const residentBytes = (pid: number): number =>
  Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024

void t.test('telldir and seekdir stay true while names come and go', async (t) => {
  const script = path.join(mount.folder, 'places.py')
  writeFileSync(script, places)
  const { stdout } = await mustRun('python3', [script, mount.dir], { limitMs: 60_000 })
  t.equal(stdout.trim(), 'same True\nnone twice True\nnone missing True\nrewound True')
})

void t.test('200,000 names are listed whole, each once, in bounded memory', async (t) => {
  const root = new FileCalls(mount.client.volume)
  const directory = root.mkdir(1n, 'many')
  fill(directory, root.create(1n, 'file'))
  const pid = mount.mounted.pid()
  const before = residentBytes(pid)
  const listed = await mustRun('sh', ['-c', 'ls -f "$0" | sort -u | wc -l', path.join(mount.dir, 'many')], {
    limitMs: 90_000,
  })
  t.equal(Number(listed.stdout), many + 2)
  const grown = residentBytes(pid) - before
  t.comment(`${(listed.ms / 1000).toFixed(1)} s; the driver grew by ${(grown / (1 << 20)).toFixed(0)} MiB`)
  t.ok(grown < growthBytesMax, `${grown} bytes`)
})
