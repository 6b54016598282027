import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { requestsOf } from '../fixtures/requests-of.ts'
import { mustRun } from '../fixtures/run.ts'
import { waitFor } from '../fixtures/wait.ts'
import { python } from './operations-scripts.ts'

// Access times move as with `relatime`: the same script says the same on the mount and on ext4; and what one host has read
// the servers know a while later, without a message for each read.

t.setTimeout(180_000)

const cluster = await Cluster.start(t)

const script = `
import time
day = 86400
def atime(name): return os.lstat(name).st_atime_ns
def moves(what, name, run):
    before = atime(name); time.sleep(0.01); run(); after = atime(name)
    mtime = os.lstat(name).st_mtime_ns
    print(what, 'moves' if after > before else 'goes back' if after < before else 'stays', 'after mtime' if after > mtime else '')
def read(name, flags=0):
    fd = os.open(name, os.O_RDONLY | flags); os.read(fd, 9); os.close(fd)
def write(name):
    with open(name, 'a') as f: f.write('more')
make('f', b'text'); os.mkdir('d'); make('d/x'); os.symlink('f', 'l')
time.sleep(0.05)
moves('first read', 'f', lambda: read('f'))
moves('second read', 'f', lambda: read('f'))
moves('write', 'f', lambda: write('f'))
moves('read after a write', 'f', lambda: read('f'))
moves('read after that', 'f', lambda: read('f'))
moves('chmod', 'f', lambda: os.chmod('f', 0o600))
moves('O_NOATIME', 'f', lambda: read('f', os.O_NOATIME))
moves('read after chmod', 'f', lambda: read('f'))
moves('open', 'f', lambda: os.close(os.open('f', os.O_RDWR)))
moves('touch -a', 'f', lambda: subprocess.check_call(['touch', '-a', 'f']))
moves('touch -a of the past', 'f', lambda: os.utime('f', (time.time() - 2 * day, time.time() - 3 * day)))
moves('stat', 'f', lambda: os.stat('f'))
moves('read after two days', 'f', lambda: read('f'))
moves('set back after a read', 'f', lambda: (write('f'), read('f'), os.utime('f', (1000, 1000))))
print(os.stat('f').st_atime)
moves('first listing', 'd', lambda: os.listdir('d'))
moves('second listing', 'd', lambda: os.listdir('d'))
moves('listing after a create', 'd', lambda: (make('d/y'), os.listdir('d')))
os.mkdir('filled')
for n in range(12): make(f'filled/{n}')
moves('listing of what is being filled', 'filled', lambda: os.listdir('filled'))
moves('listing again', 'filled', lambda: os.listdir('filled'))
moves('create in it', 'filled', lambda: make('filled/more'))
moves('listing after that', 'filled', lambda: os.listdir('filled'))
time.sleep(6) # by then the servers have been told
moves('create later', 'filled', lambda: make('filled/later'))
moves('readlink', 'l', lambda: os.readlink('l'))
make('n', b'text'); print(subprocess.check_output(['chattr', '+A', 'n']).decode())
moves('read of what has no access times', 'n', lambda: read('n'))
fd = os.open('both', os.O_RDWR | os.O_CREAT); os.write(fd, b'abc'); moves('read of what one writes', 'both', lambda: os.pread(fd, 3, 0))`

/** Runs the script in a new folder of `dir`; gives what it said. */
async function inside(dir: string): Promise<string> {
  const file = join(cluster.folder, 'script.py')
  writeFileSync(file, `${python}\n${script}`)
  return (await mustRun('python3', [file, dir], { limitMs: 60_000 })).stdout
}

void t.test('what moves an access time is what moves it on ext4', async (t) => {
  const [image, disk] = [join(cluster.folder, 'disk.img'), join(cluster.folder, 'disk')]
  mkdirSync(disk)
  await mustRun('truncate', ['-s', '32M', image])
  await mustRun('mkfs.ext4', ['-q', image])
  await mustRun('mount', ['-o', 'loop,relatime', image, disk])
  t.equal(await inside(cluster.tree), await inside(disk))
})

const shown = async (path: string) =>
  (await mustRun('stat', ['-c', '%x %y %z', path])).stdout.trim().split(/ (?=\d{4}-)/)

void t.test('what was read on one host all servers know a while later; a hundred reads are one message', async (t) => {
  const [primary, [mirror = '']] = [await cluster.primary(), await cluster.others()]
  const reader = await cluster.mount('reader', { provider: mirror })
  const other = await cluster.mount('other', { provider: primary })
  const files = Array.from({ length: 100 }, (_, n) => `read-${n}`)
  await mustRun('sh', ['-ec', `cd "$0"; for f in ${files.join(' ')}; do echo text > $f; done`, cluster.tree])
  const before = (await requestsOf(cluster, reader))['noteReads'] ?? 0
  await mustRun('sh', ['-ec', `cd "$0"; for i in 1 2 3; do cat ${files.join(' ')}; done`, reader])
  const noted = await waitFor(
    async () => {
      const count = (await requestsOf(cluster, reader))['noteReads'] ?? 0
      return count > before ? count - before : undefined
    },
    { what: 'the reads to be told', limitMs: 30_000, everyMs: 500 },
  )
  t.ok(noted <= 2, `${noted} messages for 300 reads`)
  for (const file of [files[0] ?? '', files[99] ?? '']) {
    const [atime = '', mtime = ''] = await shown(join(other, file))
    t.ok(atime > mtime, `${file}: read ${atime}, written ${mtime}`)
  }
  await mustRun('sh', ['-ec', 'echo more >> "$0/read-5"; cat "$1/read-5"', cluster.tree, reader])
  await cluster.unmount(reader)
  const last = await waitFor(
    async () => {
      const [atime = '', mtime = ''] = await shown(join(other, 'read-5'))
      return atime > mtime ? atime : undefined
    },
    { what: 'a mount to tell as it ends', limitMs: 1_000 },
  )
  t.comment(`read-5: ${last}`)
  await cluster.verifyEqual()
})
