/** Helpers of all scripts, which run as root. */
export const helpers = `
import os, sys, stat, errno, fcntl, struct, ctypes, tempfile, subprocess
libc = ctypes.CDLL(None, use_errno=True)
AT = -100
def call(name, *args):
    made = [ctypes.c_long(a) if isinstance(a, int) else a.encode() if isinstance(a, str) else a for a in args]
    result = getattr(libc, name)(*made)
    if result < 0: raise OSError(ctypes.get_errno(), name)
    return result
def rename(a, b, flags): call('renameat2', AT, a, AT, b, flags)
def fallocate(fd, mode, offset, length): call('fallocate', fd, mode, offset, length)
def name(fd, path): call('linkat', AT, '/proc/self/fd/%d' % fd, AT, path, 0x400)
def says(what, run):
    try: print(what, run())
    except OSError as e: print(what, errno.errorcode[e.errno])
def make(name, data=b''):
    with open(name, 'wb') as f: f.write(data)
def kind(name):
    s = os.lstat(name)
    return stat.filemode(s.st_mode), s.st_nlink, os.major(s.st_rdev), os.minor(s.st_rdev), s.st_size
def as_user(run):
    sys.stdout.flush()
    if os.fork() == 0:
        os.setgroups([]); os.setgid(1000); os.setuid(1000)
        run(); sys.stdout.flush(); os._exit(0)
    os.wait()
`

/** The same, in a folder of its own below the one that it is given. */
export const python = `${helpers}
os.chdir(tempfile.mkdtemp(dir=sys.argv[1])); os.chmod('.', 0o777)
`

interface Script {
  readonly what: string
  readonly script: string
  /** Where the mount is not to say what the disk's file system says. */
  readonly expected?: string
}

/** What a program does, named by what it is to show. */
export const scripts: readonly Script[] = [
  {
    what: 'renameat2: NOREPLACE, EXCHANGE and WHITEOUT',
    script: `
make('a', b'a'); make('b', b'b'); os.mkdir('d'); make('d/x')
says('noreplace over a name', lambda: rename('a', 'b', 1))
says('noreplace', lambda: rename('a', 'c', 1))
says('exchange', lambda: rename('b', 'c', 2)); print(open('b').read(), open('c').read())
says('exchange with nothing', lambda: rename('b', 'n', 2))
says('exchange file and directory', lambda: rename('b', 'd', 2)); print(os.listdir('b'), open('d').read(), os.stat('.').st_nlink)
says('exchange with its own parent', lambda: rename('b', 'b/x', 2))
says('whiteout', lambda: rename('c', 'w', 4)); print(kind('c'), open('w').read())
says('whiteout and noreplace', lambda: rename('w', 'd', 5))
says('whiteout and exchange', lambda: rename('w', 'd', 6))
says('unknown', lambda: rename('w', 'd', 8))
print(sorted(os.listdir('.')))`,
  },
  {
    what: 'mknod: fifos, sockets and devices, and who may make them',
    script: `
import socket
os.mkfifo('p', 0o640); os.mknod('c', stat.S_IFCHR | 0o600, os.makedev(300, 70000)); os.mknod('b', stat.S_IFBLK | 0o660, os.makedev(8, 1))
os.mknod('s', stat.S_IFSOCK | 0o777); os.mknod('f', 0o600)
for name in 'pcbsf': print(kind(name))
says('directory', lambda: os.mknod('d', stat.S_IFDIR | 0o700))
reader = os.open('p', os.O_RDONLY | os.O_NONBLOCK); writer = os.open('p', os.O_WRONLY)
os.write(writer, b'through'); print(os.read(reader, 99))
server = socket.socket(socket.AF_UNIX); server.bind('u'); server.listen(1)
client = socket.socket(socket.AF_UNIX); client.connect('u'); client.send(b'hello'); print(server.accept()[0].recv(9), kind('u')[0])
def user():
    says('device', lambda: os.mknod('x', stat.S_IFCHR | 0o600, os.makedev(1, 3)))
    says('whiteout', lambda: os.mknod('y', stat.S_IFCHR, 0))
    says('fifo', lambda: os.mkfifo('z'))
as_user(user)
says('truncate a fifo', lambda: os.truncate('p', 0))
says('open a socket', lambda: os.open('s', os.O_RDONLY))
print(open('/dev/null').read(), end=''); os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3)); print(os.write(os.open('null', os.O_WRONLY), b'gone'))`,
  },
  {
    what: 'O_TMPFILE: no name until it is linked, and never with O_EXCL',
    script: `
fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o640)
os.write(fd, b'contents' * 2000); print(os.fstat(fd).st_nlink, os.fstat(fd).st_size, oct(os.fstat(fd).st_mode), os.listdir('.'))
name(fd, 'named')
print(os.fstat(fd).st_nlink, os.listdir('.'), open('named', 'rb').read() == b'contents' * 2000)
os.link('named', 'again'); os.close(fd); print(os.stat('named').st_nlink)
ex = os.open('.', os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
says('linked', lambda: name(ex, 'never'))
gone = os.open('g', os.O_RDWR | os.O_CREAT); os.unlink('g')
says('unlinked', lambda: name(gone, 'never'))
says('read only', lambda: os.open('.', os.O_TMPFILE | os.O_RDONLY))
says('in a file', lambda: os.open('named', os.O_TMPFILE | os.O_RDWR))
os.mkdir('mine', 0o700); as_user(lambda: says('not allowed', lambda: os.open('mine', os.O_TMPFILE | os.O_RDWR)))`,
  },
  {
    what: 'lseek: data and holes',
    script: `
def places(fd):
    found, at = [], 0
    try:
        while True:
            data = os.lseek(fd, at, os.SEEK_DATA); at = os.lseek(fd, data, os.SEEK_HOLE); found.append((data, at))
    except OSError as e: print(found, errno.errorcode[e.errno], os.fstat(fd).st_size, os.fstat(fd).st_blocks)
fd = os.open('f', os.O_RDWR | os.O_CREAT)
places(fd)
os.write(fd, b'x' * 100); places(fd)
os.pwrite(fd, b'x' * 4096, 1 << 20); os.fsync(fd); places(fd)
os.pwrite(fd, b'x' * 10000, (1 << 30) + 4096); os.fsync(fd); places(fd)
os.ftruncate(fd, 1 << 31); places(fd)
says('hole', lambda: os.lseek(fd, 200, os.SEEK_HOLE)); says('hole in a hole', lambda: os.lseek(fd, 12345, os.SEEK_HOLE))
says('data', lambda: os.lseek(fd, 50, os.SEEK_DATA)); says('beyond', lambda: os.lseek(fd, 1 << 31, os.SEEK_HOLE))
says('no more data', lambda: os.lseek(fd, (1 << 31) - 5, os.SEEK_DATA)); says('end', lambda: os.lseek(fd, -5, os.SEEK_END))
os.ftruncate(fd, (1 << 20) + 100); places(fd)
os.ftruncate(fd, 0); places(fd)
os.ftruncate(fd, 1 << 44 - 1); places(fd); os.unlink('f')
subprocess.run('truncate -s 100M s; printf a | dd of=s bs=1 seek=50M conv=notrunc status=none; cp --sparse=auto s t; cmp s t; sync s t; du s t; stat -c %s t', shell=True)`,
  },
  {
    what: 'fallocate: sizes and contents',
    script: `
fd = os.open('f', os.O_RDWR | os.O_CREAT)
def state(what): print(what, os.fstat(fd).st_size, hash(os.pread(fd, 1 << 20, 0).replace(b'\\0', b'.')) % 0 if False else os.pread(fd, 1 << 20, 0).count(b'x'))
for size in (1000, 100000):
    os.ftruncate(fd, 0); os.pwrite(fd, b'x' * size, 0)
    fallocate(fd, 0, 0, size // 2); state('within')
    fallocate(fd, 1, 0, size * 2); state('keep size')
    fallocate(fd, 0, size, size); state('longer')
    fallocate(fd, 3, 10, size // 2); state('punched'); print(os.pread(fd, 20, 0), os.pread(fd, 20, size // 2))
    fallocate(fd, 16, size - 100, 50); state('zeroed')
    fallocate(fd, 17, size - 10, 10 * size); state('zeroed, keep size')
    fallocate(fd, 16, size, 10 * size); state('zeroed beyond')
    fallocate(fd, 3, 0, 1 << 40); state('all')
before = os.fstat(fd); fallocate(fd, 3, 0, 100); after = os.fstat(fd); print(after.st_mtime_ns > before.st_mtime_ns, after.st_ctime_ns > before.st_ctime_ns)
says('nothing', lambda: fallocate(fd, 0, 0, 0)); says('negative', lambda: fallocate(fd, 0, -1, 5)); says('punch without keep', lambda: fallocate(fd, 2, 0, 5))
says('too long', lambda: fallocate(fd, 0, 1 << 44, 4096)); says('read only', lambda: fallocate(os.open('f', os.O_RDONLY), 0, 0, 5))
says('posix_fallocate', lambda: os.posix_fallocate(fd, 0, 1 << 20)); print(os.fstat(fd).st_size)`,
  },
  {
    what: 'fallocate: what the kernel refuses of a FUSE file system, and where holes are then',
    script: `
fd = os.open('f', os.O_RDWR | os.O_CREAT); os.write(fd, b'x' * 65536)
says('collapse', lambda: fallocate(fd, 8, 0, 4096)); says('insert', lambda: fallocate(fd, 32, 0, 4096))
fallocate(fd, 3, 5000, 20000); print(os.lseek(fd, 0, os.SEEK_HOLE), os.lseek(fd, 9000, os.SEEK_DATA), os.fstat(fd).st_blocks)
os.pwrite(fd, b'y', 12288); print(os.lseek(fd, 0, os.SEEK_HOLE), os.lseek(fd, 8192, os.SEEK_DATA), os.lseek(fd, 12288, os.SEEK_HOLE), os.fstat(fd).st_blocks)
fallocate(fd, 3, 40000, 1 << 20); print(os.lseek(fd, 40000, os.SEEK_HOLE), os.fstat(fd).st_size, os.fstat(fd).st_blocks)
says('more than there is', lambda: fallocate(fd, 0, 0, 1 << 43)); print(os.fstat(fd).st_size)`,
    expected: `collapse ENOTSUP
insert ENOTSUP
8192 24576 96
8192 12288 16384 104
40960 65536 56
more than there is ENOSPC
65536`,
  },
  {
    what: 'copy_file_range',
    script: `
data = bytes(i * 7 % 251 for i in range(3_000_000)); make('a', data); make('small', b'0123456789')
def copy(source, target, count, at=0, to=0):
    s, t = os.open(source, os.O_RDONLY), os.open(target, os.O_RDWR | os.O_CREAT); done = 0
    while done < count:
        n = os.copy_file_range(s, t, count - done, at + done, to + done)
        if n == 0: break
        done += n
    os.close(s); os.close(t); return done
print(copy('a', 'b', 1 << 40), open('b', 'rb').read() == data)
print(copy('a', 'c', 70000, 12345, 999), open('c', 'rb').read() == bytes(999) + data[12345:82345])
print(copy('small', 'd', 5, 3), open('d', 'rb').read()); print(copy('small', 'd', 100, 8, 2), open('d', 'rb').read())
print(copy('small', 'd', 5, 100), copy('small', 'd', 0))
print(copy('a', 'a', 1000, 0, 2_999_999), os.stat('a').st_size); print(copy('small', 'small', 5, 0, 5), open('small').read())
says('overlap', lambda: copy('a', 'a', 1000, 0, 500))
os.mkdir('dir'); says('directory', lambda: os.copy_file_range(os.open('dir', os.O_RDONLY), os.open('d', os.O_RDWR), 5))
says('append', lambda: os.copy_file_range(os.open('a', os.O_RDONLY), os.open('d', os.O_WRONLY | os.O_APPEND), 5))
says('read only', lambda: os.copy_file_range(os.open('a', os.O_RDONLY), os.open('d', os.O_RDONLY), 5))
subprocess.run('cp --reflink=auto a e; cmp a e; cp --reflink=auto --sparse=always -a a g; cmp a g; cp -a small h; cat h', shell=True)`,
  },
  {
    what: 'one call of copy_file_range: a megabyte, and it says so',
    script: `
make('a', b'0123456789' * 300_000); make('b'); s, t = os.open('a', os.O_RDONLY), os.open('b', os.O_RDWR)
print(os.copy_file_range(s, t, 3_000_000), os.fstat(t).st_size)`,
    expected: '1048576 1048576',
  },
  {
    what: 'access(2) of what is immutable goes by its permission bits, and opening it does not',
    script: `
make('i'); subprocess.run(['chattr', '+i', 'i']); print(os.access('i', os.W_OK)); says('open', lambda: os.open('i', os.O_WRONLY))
subprocess.run(['chattr', '-i', 'i'])`,
    expected: 'True\nopen EPERM',
  },
  {
    what: 'statx: the time of birth',
    script: `
import time
make('f'); born = float(subprocess.run(['stat', '-c', '%.9W', 'f'], capture_output=True).stdout)
print(abs(time.time() - born) < 60)
time.sleep(0.01); make('f', b'more'); os.chmod('f', 0o600); os.rename('f', 'g'); os.utime('g', (1, 1))
print(float(subprocess.run(['stat', '-c', '%.9W', 'g'], capture_output=True).stdout) == born, os.stat('g').st_ctime > born)
os.mknod('c', stat.S_IFCHR | 0o600, os.makedev(300, 70000)); os.mkdir('d')
subprocess.run('stat -c "%F %s %h %a %u %g %t:%T %Y" g; stat -c "%F %h %a %t:%T" c d', shell=True)`,
  },
  {
    what: 'chattr: immutable and append-only, enforced on everybody',
    script: `
def chattr(how, *names): return subprocess.run(['chattr', how, *names], capture_output=True).returncode
def flags(name): return ''.join(sorted(c for c in subprocess.run(['lsattr', '-d', name], capture_output=True, text=True).stdout.split()[0] if c in 'iadA'))
make('i', b'fixed'); make('a', b'log'); os.mkdir('d'); make('d/f'); os.mkdir('ad'); make('ad/f'); make('n'); os.chown('n', 1000, 1000); make('kept', b'x' * 9000)
writer = os.open('i', os.O_RDWR)
print(chattr('+i', 'i', 'd'), chattr('+a', 'a', 'ad'), chattr('+dA', 'n'), [flags(f) for f in ('i', 'a', 'd', 'ad', 'n', 'd/f')])
def tries(f):
    says(f + ' read', lambda: len(open(f, 'rb').read()))
    for name, mode in (('write', os.O_WRONLY), ('append', os.O_WRONLY | os.O_APPEND), ('truncating', os.O_RDONLY | os.O_TRUNC), ('appending truncating', os.O_WRONLY | os.O_APPEND | os.O_TRUNC)):
        says(f + ' ' + name, lambda: os.close(os.open(f, mode)))
    says(f + ' truncate', lambda: os.truncate(f, 1)); says(f + ' chmod', lambda: os.chmod(f, 0o600)); says(f + ' chown', lambda: os.chown(f, 1, 1))
    says(f + ' touch', lambda: os.utime(f)); says(f + ' utime', lambda: os.utime(f, (1, 1))); says(f + ' link', lambda: os.link(f, 'l'))
    says(f + ' setxattr', lambda: os.setxattr(f, 'user.x', b'1'))
    says(f + ' rename', lambda: os.rename(f, 'r')); says(f + ' renamed over', lambda: os.rename('kept', f)); says(f + ' exchange', lambda: rename('kept', f, 2)); says(f + ' unlink', lambda: os.unlink(f))
tries('i'); tries('a')
says('open before', lambda: os.write(writer, b'x')); says('ftruncate', lambda: os.ftruncate(writer, 0)); says('fallocate', lambda: fallocate(writer, 0, 0, 100))
says('copy', lambda: os.copy_file_range(os.open('kept', os.O_RDONLY), writer, 5))
log = os.open('a', os.O_RDWR | os.O_APPEND); says('append', lambda: os.write(log, b'more')); says('ftruncate', lambda: os.ftruncate(log, 0)); says('allocate', lambda: fallocate(log, 1, 0, 100)); says('punch', lambda: fallocate(log, 3, 0, 2))
for d in ('d', 'ad'):
    says(d + ' create', lambda: make(d + '/new')); says(d + ' mkdir', lambda: os.mkdir(d + '/sub')); says(d + ' link', lambda: os.link('kept', d + '/l'))
    says(d + ' into', lambda: os.rename('n', d + '/n')); says(d + ' out of', lambda: os.rename(d + '/n', 'n')); says(d + ' unlink', lambda: os.unlink(d + '/f')); says(d + ' rmdir', lambda: os.rmdir(d))
    says(d + ' write in', lambda: make(d + '/f', b'fine')); says(d + ' tmpfile', lambda: os.close(os.open(d, os.O_TMPFILE | os.O_RDWR)))
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
def setflags(name, value):
    fd = os.open(name, os.O_RDONLY); fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack('l', value)); os.close(fd)
make('u'); os.chown('u', 1000, 1000); make('other')
as_user(lambda: [says('own', lambda: setflags('u', 0x40)), says('immutable', lambda: setflags('u', 0x10)), says("another's", lambda: setflags('other', 0x40))])
says('unknown', lambda: setflags('other', 0x800000))
print(flags('u'), chattr('-i', 'i', 'd'), chattr('-a', 'a', 'ad'), open('i').read(), open('a').read()); make('i', b'again'); os.unlink('i')
says('tty', lambda: fcntl.ioctl(log, 0x5401, bytes(64))); print(os.isatty(log))
os.mkdir('in'); print(chattr('+dA', 'in')); make('in/f'); os.mkdir('in/d'); print(flags('in/f'), flags('in/d'))`,
  },
  {
    what: 'opens: O_TRUNC, O_EXCL, O_DIRECT, O_SYNC, O_DSYNC, O_NOATIME, O_APPEND, O_PATH, O_NOFOLLOW, O_DIRECTORY',
    script: `
import mmap
make('f', b'x' * 5000)
says('excl', lambda: os.open('f', os.O_CREAT | os.O_EXCL)); os.symlink('nowhere', 'l'); says('excl symlink', lambda: os.open('l', os.O_CREAT | os.O_EXCL | os.O_WRONLY))
before = os.stat('f'); os.close(os.open('f', os.O_WRONLY | os.O_TRUNC)); after = os.stat('f'); print(after.st_size, after.st_mtime_ns > before.st_mtime_ns)
buffer = mmap.mmap(-1, 8192); buffer.write(b'd' * 8192)
fd = os.open('direct', os.O_RDWR | os.O_CREAT | os.O_DIRECT); print(os.pwritev(fd, [buffer], 4096), os.preadv(fd, [buffer], 0), os.fstat(fd).st_size, bytes(buffer[4090:4100]))
for flag in (os.O_SYNC, os.O_DSYNC): fd = os.open('sync', os.O_RDWR | os.O_CREAT | flag); print(os.write(fd, b'abc'), os.pread(fd, 9, 0)); os.posix_fallocate(fd, 0, 9000); print(os.copy_file_range(fd, fd, 3, 0, 8000), os.pread(fd, 3, 8000)); os.fsync(fd); os.fdatasync(fd)
as_user(lambda: says('noatime', lambda: os.open('f', os.O_RDONLY | os.O_NOATIME))); says('noatime', lambda: os.close(os.open('f', os.O_RDONLY | os.O_NOATIME)))
a, b = os.open('log', os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.open('log', os.O_WRONLY | os.O_APPEND); os.write(a, b'1'); os.write(b, b'2'); os.pwrite(a, b'3', 0); print(open('log').read())
says('nofollow', lambda: os.open('l', os.O_RDONLY | os.O_NOFOLLOW)); says('directory', lambda: os.open('f', os.O_DIRECTORY)); says('path', lambda: os.read(os.open('f', os.O_PATH), 1))
says('write only', lambda: os.read(a, 1)); says('read only', lambda: os.write(os.open('f', os.O_RDONLY), b'1'))
d = os.open('.', os.O_RDONLY); os.fsync(d); os.sync(); call('syncfs', d)`,
  },
  {
    what: 'sizes, names and links: the limits',
    script: `
make('f'); fd = os.open('f', os.O_RDWR); top = (1 << 44) - 4096
os.ftruncate(fd, top); print(os.fstat(fd).st_size == top, os.fstat(fd).st_blocks); says('one more', lambda: os.ftruncate(fd, top + 1)); print(os.pwrite(fd, b'end', top - 3), os.pread(fd, 9, top - 3))
says('at the end', lambda: os.pwrite(fd, b'x', top)); print(os.pwrite(fd, b'abcdef', top - 2)); says('far', lambda: os.pwrite(fd, b'x', 1 << 62)); says('truncate', lambda: os.truncate('f', 1 << 62)); print(os.fstat(fd).st_size == top)
os.ftruncate(fd, 0); print(os.fstat(fd).st_blocks)
for n in (255, 256, 1000, 2000): says('name of %d' % n, lambda: make('n' * n))
for n in (255, 256): says('mkdir %d' % n, lambda: os.mkdir('d' * n)); says('symlink %d' % n, lambda: os.symlink('x', 's' * n)); says('rename %d' % n, lambda: os.rename('f', 'r' * n) or os.rename('r' * n, 'f')); says('lookup %d' % n, lambda: os.stat('q' * n))
for n in (4095, 4096): says('target %d' % n, lambda: os.symlink('t' * n, 'target%d' % n))
here = os.getcwd()
for _ in range(16): os.mkdir('p' * 254); os.chdir('p' * 254)
make('deep'); os.chdir(here); path = '/'.join(['p' * 254] * 16) + '/deep'; says('path of %d' % len(path), lambda: os.stat(path).st_size); says('longer', lambda: os.stat('./' * 10 + path + 'x' * 2)); subprocess.run(['rm', '-r', 'p' * 254])
print(os.stat('.').st_nlink); os.mkdir('sub'); print(os.stat('.').st_nlink, os.stat('sub').st_nlink); os.mkdir('sub/a'); os.rename('sub/a', 'a'); print(os.stat('.').st_nlink, os.stat('sub').st_nlink); os.rmdir('a'); print(os.stat('.').st_nlink)`,
  },
]
