import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { mustRun, run } from '../fixtures/run.ts'
import { helpers } from './operations-scripts.ts'

// A mount with --read-only says what ext4 says that is mounted read-only.

t.setTimeout(180_000)

const cluster = await Cluster.start(t)

/** What is there before it is mounted read-only, in the working folder. */
const prepare = `
  echo text > f; echo other > other; chmod 644 f; mkdir d; echo x > d/x; ln -s f l; ln -s nowhere broken; mkfifo p
  chown 1000 f; setfattr -n user.a -v 1 f; touch -d 2001-01-01 f d`

const script = `
os.chdir(sys.argv[1])
def opens(what, name, flags, mode=0o644):
    says('open %s %s' % (what, name), lambda: os.close(os.open(name, flags, mode)))
for name in ('f', 'missing', 'd', 'l', 'broken'):
    opens('to read', name, os.O_RDONLY); opens('to write', name, os.O_WRONLY); opens('for both', name, os.O_RDWR)
    opens('to append', name, os.O_WRONLY | os.O_APPEND); opens('to truncate', name, os.O_RDONLY | os.O_TRUNC)
    opens('or create to read', name, os.O_RDONLY | os.O_CREAT); opens('or create to write', name, os.O_RDWR | os.O_CREAT)
    opens('to create', name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    says('truncate ' + name, lambda: os.truncate(name, 0)); says('unlink ' + name, lambda: os.unlink(name))
    says('rmdir ' + name, lambda: os.rmdir(name)); says('mkdir ' + name, lambda: os.mkdir(name))
    says('mknod ' + name, lambda: os.mknod(name, stat.S_IFIFO | 0o600)); says('symlink ' + name, lambda: os.symlink('x', name))
    says('link ' + name, lambda: os.link(name, 'new')); says('link to ' + name, lambda: os.link('other', name))
    says('rename ' + name, lambda: os.rename(name, 'new')); says('rename to ' + name, lambda: os.rename('other', name))
    says('exchange ' + name, lambda: rename(name, 'other', 2)); says('no replace ' + name, lambda: rename('other', name, 1))
    says('chmod ' + name, lambda: os.chmod(name, 0o600)); says('chown ' + name, lambda: os.lchown(name, 1, 1))
    says('utimes ' + name, lambda: os.utime(name)); says('times ' + name, lambda: os.utime(name, (1, 1), follow_symlinks=False))
    for how in (os.R_OK, os.W_OK, os.X_OK, os.F_OK): print('access', name, how, os.access(name, how))
    says('access W ' + name, lambda: call('faccessat', AT, name, os.W_OK, 0))
    says('setxattr ' + name, lambda: os.setxattr(name, 'user.b', b'2')); says('removexattr ' + name, lambda: os.removexattr(name, 'user.a'))
    says('getxattr ' + name, lambda: os.getxattr(name, 'user.a'))
says('tmpfile', lambda: os.open('.', os.O_TMPFILE | os.O_RDWR)); says('same rename', lambda: os.rename('f', 'f'))
opens('fifo to write', 'p', os.O_RDWR)
fd = os.open('f', os.O_RDONLY)
says('write', lambda: os.write(fd, b'x')); says('ftruncate', lambda: os.ftruncate(fd, 0)); says('fchmod', lambda: os.fchmod(fd, 0o600))
says('fallocate', lambda: fallocate(fd, 0, 0, 100)); says('fsync', lambda: os.fsync(fd)); says('futimes', lambda: os.utime(fd))
says('fsetxattr', lambda: os.setxattr(fd, 'user.b', b'2'))
says('flock', lambda: fcntl.flock(fd, fcntl.LOCK_EX)); says('fcntl', lambda: fcntl.lockf(fd, fcntl.LOCK_SH))
says('set flags', lambda: fcntl.ioctl(fd, 0x40086602, struct.pack('l', 0x40)))
print(os.read(fd, 100), os.listdir('d'), os.readlink('l'))
for name in ('f', 'd'): print('times of', name, os.stat(name).st_atime, os.stat(name).st_mtime)
print('read-only', bool(os.statvfs('.').f_flag & os.ST_RDONLY))
as_user(lambda: (opens('to write', 'other', os.O_WRONLY), opens('to write', 'f', os.O_WRONLY), says('chmod', lambda: os.chmod('other', 0o777)),
    says('access W', lambda: call('faccessat', AT, 'other', os.W_OK, 0)), says('mkdir', lambda: os.mkdir('new')), says('unlink', lambda: os.unlink('f'))))`

async function inside(dir: string): Promise<readonly string[]> {
  const file = join(cluster.folder, 'script.py')
  writeFileSync(file, `${helpers}\n${script}`)
  const { stdout } = await mustRun('python3', [file, dir], { limitMs: 60_000 })
  return stdout.trim().split('\n')
}

/** Options of a mount, as the kernel has them. */
function optionsOf(path: string): string {
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((one) => one.split(' ')[4] === path)
  return line?.split(' ')[5] ?? ''
}

void t.test('every call has the outcome that it has on ext4', async (t) => {
  const [image, disk] = [join(cluster.folder, 'disk.img'), join(cluster.folder, 'disk')]
  mkdirSync(disk)
  await mustRun('truncate', ['-s', '32M', image])
  await mustRun('mkfs.ext4', ['-q', image])
  await mustRun('mount', ['-o', 'loop', image, disk])
  await mustRun('sh', ['-ec', `cd "$0"; ${prepare}`, disk])
  await mustRun('mount', ['-o', 'remount,ro', disk])
  await mustRun('sh', ['-ec', `cd "$0"; ${prepare}`, cluster.tree])
  const path = await cluster.mount('looking', { readOnly: true })
  t.match(optionsOf(path), /^ro,/)
  const [ours, theirs] = [await inside(path), await inside(disk)]
  t.ok(ours.filter((line) => line.endsWith(' EROFS')).length > 50, 'the script asks for changes')
  t.same(ours, theirs)
  t.equal((await mustRun('cat', [join(cluster.tree, 'f')])).stdout, 'text\n')

  await mustRun('sh', ['-ec', 'echo new > "$0/f"', cluster.tree])
  t.equal((await mustRun('cat', [join(path, 'f')])).stdout, 'new\n', 'what others change is seen')
})

void t.test('a kernel that was told to write finds a driver that does not', async (t) => {
  const path = await cluster.mount('remounted', { readOnly: true })
  await mustRun('mount', ['-i', '-o', 'remount,rw', path])
  t.match(optionsOf(path), /^rw,/)
  for (const command of ['echo x > new', 'echo x >> f', 'mkdir new', 'rm f', 'chmod 600 f']) {
    const { code, stderr } = await run('sh', ['-c', `cd "$0"; ${command}`, path])
    t.not(code, 0, command)
    t.match(stderr, /Read-only file system/, command)
  }
})
