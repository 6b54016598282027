"""Replays a history that test/model/ has printed, in an empty folder of any file system: replay.py DIR < script

Run as root, who becomes each caller in turn. Inodes have the numbers of the model, from 1 (DIR) in the order in which they
are made; each is held open, so that those without a name can still be asked. Each line prints what came out.
"""
import ctypes, errno, fcntl, os, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
held = {}
owners = {}


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), 'refused')
    return result


def keep(name, parent):
    held[len(held) + 1] = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=held[parent])


def at(ino):
    return f'/proc/self/fd/{held[ino]}'


def opened(ino, flags, use):
    fd = os.open(at(ino), flags | os.O_NONBLOCK)
    try:
        return use(fd)
    finally:
        os.close(fd)


class Calls:
    """What one caller asks, by the names of the operations."""

    def lookup(self, parent, name):
        return os.stat(name, dir_fd=held[parent], follow_symlinks=False).st_mode

    def getattr(self, ino):
        found = os.fstat(held[ino])
        return [oct(found.st_mode), found.st_nlink, found.st_uid, found.st_gid, found.st_size]

    def setattr(self, ino, mode=None, uid=None, gid=None, size=None, atime=None, mtime=None, flags=None, **_):
        if flags is not None:
            opened(ino, os.O_RDONLY, lambda fd: fcntl.ioctl(fd, 0x40086602, struct.pack('l', flags)))  # FS_IOC_SETFLAGS
        if uid is not None or gid is not None:
            os.chown(at(ino), -1 if uid is None else uid, -1 if gid is None else gid)
        if mode is not None:
            os.chmod(at(ino), mode)
        if size is not None:
            os.truncate(at(ino), size)
        if atime is not None or mtime is not None:
            parts = [part for time in (atime, mtime) for part in self.timespec(time)]
            check(libc.utimensat(-100, at(ino).encode(), (ctypes.c_long * 4)(*parts), 0))

    def timespec(self, time):
        if time is None:
            return [0, (1 << 30) - 2]  # UTIME_OMIT
        return [0, (1 << 30) - 1] if time.get('now') else divmod(time['ns'], 10**9)  # UTIME_NOW

    def readlink(self, ino):
        return os.readlink(b'', dir_fd=held[ino])

    def access(self, ino, mask):
        if not os.access(at(ino), mask, effective_ids=True):
            raise PermissionError(errno.EACCES, 'refused')

    def fsync(self, ino):
        opened(ino, os.O_RDONLY, os.fsync)

    def statfs(self):
        return os.fstatvfs(held[1]).f_files

    def mkdir(self, parent, name, mode=0, umask=0):
        os.umask(umask)
        os.mkdir(name, mode, dir_fd=held[parent])
        keep(name, parent)

    def symlink(self, parent, name, target):
        os.symlink(target, name, dir_fd=held[parent])
        keep(name, parent)

    def mknod(self, parent, name, mode=0, umask=0, rdev=0):
        os.umask(umask)
        os.mknod(name, mode, rdev, dir_fd=held[parent])
        keep(name, parent)

    def create(self, parent, name, mode=0, umask=0, flags=0):
        os.umask(umask)
        was_there = as_root(lambda: opened(parent, os.O_RDONLY, lambda fd: name in map(os.fsencode, os.listdir(fd))))
        os.close(os.open(name, flags | os.O_CREAT | os.O_NONBLOCK, mode, dir_fd=held[parent]))
        if not was_there:
            keep(name, parent)

    def tmpfile(self, parent, mode=0, umask=0, flags=0):
        os.umask(umask)
        held[len(held) + 1] = os.open(at(parent), flags | os.O_TMPFILE, mode)

    def unlink(self, parent, name):
        os.unlink(name, dir_fd=held[parent])

    def rmdir(self, parent, name):
        os.rmdir(name, dir_fd=held[parent])

    def rename(self, parent, name, newParent, newName, flags=0):
        check(libc.renameat2(held[parent], name, held[newParent], newName, flags))
        if flags & 4:  # RENAME_WHITEOUT
            keep(name, parent)

    def link(self, ino, parent, name):
        os.link(at(ino), name, dst_dir_fd=held[parent], follow_symlinks=True)

    def open(self, ino, flags=0, **_):
        opened(ino, flags, lambda fd: None)

    def read(self, ino, offset=0, length=0):
        return opened(ino, os.O_RDONLY, lambda fd: os.pread(fd, length, offset))

    def write(self, ino, data, offset=0, append=False, **_):
        flags = os.O_WRONLY | (os.O_APPEND if append else 0)
        return opened(ino, flags, lambda fd: os.pwrite(fd, data, offset))

    def lseek(self, ino, offset=0, whence=0):
        return opened(ino, os.O_RDONLY, lambda fd: os.lseek(fd, offset, whence))

    def fallocate(self, ino, offset=0, length=0, mode=0):
        size = ctypes.c_longlong
        opened(ino, os.O_RDWR, lambda fd: check(libc.fallocate(fd, mode, size(offset), size(length))))

    def copyRange(self, source, ino, sourceOffset=0, offset=0, length=0):
        copy = lambda a, b: os.copy_file_range(a, b, length, sourceOffset, offset)
        return opened(source, os.O_RDONLY, lambda a: opened(ino, os.O_WRONLY, lambda b: copy(a, b)))

    def readdir(self, ino, **_):
        return opened(ino, os.O_RDONLY | os.O_DIRECTORY, lambda fd: sorted(map(os.fsencode, os.listdir(fd))))

    def getxattr(self, ino, name):
        return os.getxattr(at(ino), name)

    def setxattr(self, ino, name, value=b'', flags=0):
        os.setxattr(at(ino), name, value, flags)

    def listxattr(self, ino):
        return os.listxattr(at(ino))

    def removexattr(self, ino, name):
        os.removexattr(at(ino), name)


    def lock(self, exclusive=False, **range):
        self.lockOf(F_OFD_SETLK, fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK, **range)

    def unlock(self, exclusive=False, **range):
        self.lockOf(F_OFD_SETLK, fcntl.F_UNLCK, **range)

    def getLock(self, exclusive=False, **range):
        return self.lockOf(F_OFD_GETLK, fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK, **range)

    def lockOf(self, command, kind, session, ino, owner, start=0, length=0):
        key = (session, owner, ino)
        if key not in owners:
            owners[key] = as_root(lambda: os.open(at(ino), os.O_RDWR | os.O_NONBLOCK))
        fields = fcntl.fcntl(owners[key], command, struct.pack('hhqqi4x', kind, os.SEEK_SET, start, length, 0))
        return struct.unpack('hhqqi4x', fields)


F_OFD_GETLK, F_OFD_SETLK = 36, 37


def become(uid, gid, groups):
    os.seteuid(0)
    os.setgroups(groups)
    os.setegid(gid)
    os.seteuid(uid)
    libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: /proc/self stays open to us


def as_root(run):
    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    become(0, 0, [])
    try:
        return run()
    finally:
        become(uid, gid, groups)


class Caller:
    def __init__(self, name, *ids):
        self.name, self.ids = name, ids

    def __getattr__(self, operation):
        def call(**values):
            become(*self.ids)
            try:
                said = getattr(Calls(), operation)(**values)
                said = 'ok' if said is None else f'ok {said!r}'[:100]
            except OSError as error:
                said = 'EOPNOTSUPP' if error.errno == errno.EOPNOTSUPP else errno.errorcode[error.errno]
            print(f'{self.name}.{operation}: {said}', flush=True)

        return call


def end(session):
    """All that a session has locked is free."""
    for key in [key for key in owners if key[0] == session]:
        os.close(owners.pop(key))


def reap():
    """Inodes without a name are let go; their numbers stay theirs."""
    for ino, fd in held.items():
        if fd is not None and os.fstat(fd).st_nlink == 0:
            os.close(fd)
            held[ino] = None


if __name__ == '__main__':
    held[1] = os.open(sys.argv[1], os.O_RDONLY)
    exec(compile(sys.stdin.read(), 'script', 'exec'), globals())
