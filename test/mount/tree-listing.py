"""Everything that can be seen of a folder, but for its place: numbers of inodes and times of change and access.
Run as: tree-listing.py FOLDER. With `make` after it: makes a tree there that is hard to copy."""
import hashlib, os, stat, sys

top = sys.argv[1]


def listed(path, seen):
    at = os.lstat(path)
    kind = stat.filemode(at.st_mode)
    name = os.path.relpath(path, top)
    first = seen.setdefault(at.st_ino, name)  # names of one inode stay together
    said = ['' if first == name else f'is {first}', f'{at.st_uid}:{at.st_gid}', f'mtime {at.st_mtime_ns}']
    if not stat.S_ISDIR(at.st_mode):
        # What a folder has for size and blocks is each file system's own business.
        said += [f'links {at.st_nlink}', f'size {at.st_size}', f'device {at.st_rdev}']
    if stat.S_ISLNK(at.st_mode):
        said.append(f'to {os.readlink(path)}')
    if stat.S_ISREG(at.st_mode):
        said += [f'blocks {at.st_blocks}', f'data {extents(path)}', digest(path)]
    names = sorted(os.listxattr(path, follow_symlinks=False))
    said += [f'{each}={os.getxattr(path, each, follow_symlinks=False).hex()}' for each in names]
    return f'{kind} {name} {" ".join(said)}'


def extents(path):
    """Where there is data, as programs that copy ask for it."""
    found, at = [], 0
    with open(path, 'rb') as file:
        while True:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return found
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.append((start, at))


def digest(path):
    with open(path, 'rb') as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def list_all():
    seen, blocks = {}, {}
    for folder, folders, files in os.walk(top):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for path in [folder, *(os.path.join(folder, name) for name in sorted(files + links))]:
            print(listed(path, seen))
            at = os.lstat(path)
            if not stat.S_ISDIR(at.st_mode):
                blocks[at.st_ino] = at.st_blocks
    print('all files together have', sum(blocks.values()) // 2, 'KiB')


def put(name, *parts, size=None):
    """A file with (offset, bytes) in it."""
    with open(os.path.join(top, name), 'wb') as file:
        for offset, data in parts:
            file.seek(offset)
            file.write(data)
        if size is not None:
            file.truncate(size)


def make():
    words = b'0123456789abcdef' * 4096  # 64 KiB
    os.makedirs(os.path.join(top, 'folder', 'within'))
    os.chdir(top)
    put('empty')
    put('small', (0, b'small\n'))
    put('hole before', (64 << 20, words))
    put('hole after', (0, words), size=(64 << 20) + 5)
    put('holes between', *((n << 20, words) for n in range(40)))
    put('no block is whole', *((n * 100_000 + 77, b'here') for n in range(50)))
    put('all hole', size=12_345_678)
    put('zeros', (0, bytes(3 << 20)))
    put('zeros between', (0, words + bytes(1 << 20) + words + bytes(100)))
    put('dense', (0, words * 20 + b'end'))
    with open('given room', 'wb') as file:
        os.posix_fallocate(file.fileno(), 0, 1 << 20)
        file.write(words)
    for n in range(100):
        put(f'folder/{n}', (0, words[: n * 199]))
        os.chmod(f'folder/{n}', 0o600 | n)
        os.chown(f'folder/{n}', 40000 + n, 50000 + n)
    os.link('dense', 'folder/dense too')
    os.link('dense', 'folder/within/dense too')
    os.symlink('../small', 'folder/link')
    os.symlink('nowhere', 'folder/broken')
    os.symlink('within', 'folder/link to a folder')
    os.link('folder/broken', 'folder/broken too')
    os.mkfifo('folder/fifo', 0o620)
    os.mknod('folder/device', stat.S_IFCHR | 0o640, os.makedev(1, 3))
    os.setxattr('small', 'user.empty', b'')
    os.setxattr('small', 'user.text', b'value')
    os.setxattr('folder', 'user.large', words[:2000])
    os.setxattr('empty', 'trusted.kept', b'by root')
    os.setxattr('empty', 'security.capability', bytes.fromhex('0100000200040000000000000000000000000000'))
    acl = '02000000010006000000000002000400419c000004000400ffffffff10000600ffffffff20000400ffffffff'
    os.setxattr('zeros', 'system.posix_acl_access', bytes.fromhex(acl))
    os.chmod('small', 0o6711)
    os.chmod('folder/within', 0o3755)
    for folder, folders, files in os.walk('.', topdown=False):
        for name in files + folders + ['.']:
            path = os.path.join(folder, name)
            os.utime(path, ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321 + len(path)), follow_symlinks=False)


make() if sys.argv[2:] == ['make'] else list_all()
