"""What inotify(7) tells of a script of changes: one line a change, then its events. Run as: inotify.py FOLDER."""
import ctypes, itertools, os, re, socket, stat, struct, subprocess, sys

top = os.path.join(sys.argv[1], 'watched')
os.makedirs(os.path.join(top, 'sub'))
os.chdir(top)
libc = ctypes.CDLL(None, use_errno=True)
NAMES = {
    0x1: 'ACCESS', 0x2: 'MODIFY', 0x4: 'ATTRIB', 0x8: 'CLOSE_WRITE', 0x10: 'CLOSE_NOWRITE', 0x20: 'OPEN',
    0x40: 'MOVED_FROM', 0x80: 'MOVED_TO', 0x100: 'CREATE', 0x200: 'DELETE', 0x400: 'DELETE_SELF', 0x800: 'MOVE_SELF',
    0x2000: 'UNMOUNT', 0x4000: 'Q_OVERFLOW', 0x8000: 'IGNORED', 0x40000000: 'ISDIR',
}
ALL = 0xFFF
queue = libc.inotify_init1(os.O_NONBLOCK)
watched, cookies = {}, {}


def watch(path):
    number = libc.inotify_add_watch(queue, path.encode(), ALL)
    if number < 0:
        raise OSError(ctypes.get_errno(), path)
    watched[number] = path


def events():
    while True:
        try:
            data = os.read(queue, 65536)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            number, mask, cookie, length = struct.unpack_from('iIII', data, at)
            name = plain(data[at + 16 : at + 16 + length].rstrip(b'\0').decode())
            at += 16 + length
            kinds = '|'.join(NAMES[1 << bit] for bit in range(32) if mask >> bit & 1)
            moved = f' move {cookies.setdefault(cookie, len(cookies))}' if cookie else ''
            yield f'  {watched[number]}/{name} {kinds}{moved}'


def plain(name):
    """The same each time, also for what has a random name. The kernel names an unnamed file by itself: each file system's
    part of it does so in its own way."""
    return re.sub(r'^(#\d+|/)$', 'unnamed', re.sub(r'^sed\w{6}$', 'sedNAME', name))


def does(what, run):
    run()
    # How many calls one listing or reading takes is no change's business.
    print('\n'.join([what, *(line for line, _ in itertools.groupby(events()))]))


def put(path, data, mode='wb'):
    with open(path, mode) as file:
        file.write(data)


def get(path):
    with open(path, 'rb') as file:
        return file.read()


def with_fd(path, flags, run):
    fd = os.open(path, flags, 0o644)
    run(fd)
    os.close(fd)


def copied(a, b):
    with open(a, 'rb') as source, open(b, 'wb') as target:
        os.copy_file_range(source.fileno(), target.fileno(), 100)


def shell(script):
    return lambda: subprocess.run(['sh', '-c', script], check=True)


def unlinked_open(path):
    fd = os.open(path, os.O_RDWR)
    os.unlink(path)
    os.write(fd, b'still there')
    os.close(fd)


watch('.')
watch('sub')
does('create', lambda: put('f', b'one'))
watch('f')
does('append', lambda: put('f', b'two', 'ab'))
does('read', lambda: get('f'))
does('open with O_TRUNC', lambda: put('f', b''))
does('write twice', lambda: with_fd('f', os.O_WRONLY, lambda fd: (os.write(fd, b'a'), os.pwrite(fd, b'b', 9000))))
does('open and fsync', lambda: with_fd('f', os.O_RDWR, os.fsync))
does('truncate', lambda: os.truncate('f', 5))
does('ftruncate', lambda: with_fd('f', os.O_RDWR, lambda fd: os.ftruncate(fd, 9)))
does('fallocate', lambda: with_fd('f', os.O_RDWR, lambda fd: os.posix_fallocate(fd, 0, 5000)))
does('chmod', lambda: os.chmod('f', 0o600))
does('chown', lambda: os.chown('f', 1000, 1000))
does('utimens', lambda: os.utime('f', ns=(1, 2)))
does('setxattr', lambda: os.setxattr('f', 'user.a', b'b'))
does('removexattr', lambda: os.removexattr('f', 'user.a'))
does('stat and access', lambda: (os.stat('f'), os.access('f', os.R_OK)))
does('list', lambda: os.listdir('.'))
does('link', lambda: os.link('f', 'sub/g'))
does('read the other name', lambda: get('sub/g'))
does('unlink one of two names', lambda: os.unlink('sub/g'))
does('symlink', lambda: os.symlink('f', 's'))
does('read through it', lambda: get('s'))
does('mkfifo', lambda: os.mkfifo('p'))
does('socket', lambda: socket.socket(socket.AF_UNIX).bind('u'))
does('mknod', lambda: os.mknod('c', stat.S_IFCHR | 0o600, os.makedev(1, 3)))
does('rename', lambda: os.rename('f', 'h'))
does('rename to another folder', lambda: os.rename('h', 'sub/h'))
does('rename back', lambda: os.rename('sub/h', 'f'))
put('over', b'over')
list(events())
watch('over')
does('rename over', lambda: os.rename('f', 'over'))
does('exchange', lambda: (put('x', b'x'), libc.renameat2(-100, b'x', -100, b'over', 2)))
does('copy_file_range', lambda: copied('x', 'y'))
does('O_TMPFILE', lambda: with_fd('.', os.O_TMPFILE | os.O_RDWR, lambda fd: os.write(fd, b'x')))
does('unlink', lambda: os.unlink('y'))
watch('x')
does('unlink while open', lambda: unlinked_open('x'))
does('mkdir', lambda: os.mkdir('sub/d'))
watch('sub/d')
does('create in it', lambda: put('sub/d/e', b'e'))
does('rename the folder', lambda: os.rename('sub/d', 'd'))
does('create in it again', lambda: put('d/i', b'i'))
does('by other programs', shell('echo a > n; mv n d/n; cp -p d/n m; touch m; sed -i s/a/b/ m; cat m > d/e; rm m'))
does('failures', shell('! mkdir d 2>&- && ! rmdir d 2>&- && ! ln d/e d/i 2>&- && ! cat absent 2>&-'))
does('unlink them', shell('rm d/i && rm d/n'))
does('remove a whole folder', shell('rm -r d'))
watch('over')
does('exec', lambda: (put('over', b'#!/bin/sh\n'), os.chmod('over', 0o755), subprocess.run(['./over'], check=True)))
