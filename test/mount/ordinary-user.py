# What a user without rights does in a mount through fuse-native. Run in the mount; the first failure ends it.
import errno
import os
import subprocess
import sys


def fails(number, work):
    try:
        work()
    except OSError as error:
        assert error.errno == number, error
    else:
        raise AssertionError(f'no error where {errno.errorcode[number]} was due')


def append(name, text):
    with open(name, 'a') as file:
        file.write(text)


me = os.getuid()
assert me != 0
top = os.stat('.')
assert (top.st_uid, top.st_mode & 0o777) == (me, 0o755), top

os.mkdir('d')
append('d/f', 'hello\n')
os.rename('d/f', 'd/g')
os.symlink('g', 'd/l')
os.link('d/g', 'd/h')
assert open('d/l').read() == 'hello\n' and os.readlink('d/l') == 'g'
found = os.stat('d/g')
assert (found.st_nlink, found.st_size, found.st_uid) == (2, 6, me), found
assert found.st_ino == os.stat('d/h').st_ino
os.chmod('d/g', 0o640)
assert os.stat('d/h').st_mode & 0o777 == 0o640
os.utime('d/g', ns=(1_577_934_245_678_000_000,) * 2)
assert os.stat('d/g').st_mtime_ns == 1_577_934_245_678_000_000, os.stat('d/g')
assert sorted(os.listdir('d')) == ['g', 'h', 'l']
fails(errno.ENOTEMPTY, lambda: os.rmdir('d'))
fails(errno.ENOENT, lambda: os.open('none', os.O_RDONLY))
fails(errno.EEXIST, lambda: os.mkdir('d'))
fails(errno.EPERM, lambda: os.chown('d/g', 0, 0))

data = os.urandom(3_000_000)
with open('big', 'wb') as file:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
assert open('big', 'rb').read() == data
with open('big', 'r+b') as file:
    file.seek(1_000_001)
    file.write(b'xyz')
    file.truncate(2_000_000)
    file.seek(0)
    assert file.read() == data[:1_000_001] + b'xyz' + data[1_000_004:2_000_000]
os.truncate('big', 5)
assert open('big', 'rb').read() == data[:5]

one, two = open('log', 'a'), open('log', 'a')
for file, text in ((one, 'a'), (two, 'b'), (one, 'c')):
    file.write(text)
    file.flush()
assert open('log').read() == 'abc'
one.close()
two.close()

gone = open('gone', 'w+')
gone.write('still there')
gone.flush()
os.unlink('gone')
gone.seek(0)
assert gone.read() == 'still there' and not os.path.exists('gone')
gone.close()

space = os.statvfs('.')
assert space.f_blocks > 0 and space.f_namemax == 255

for command in (
    ['git', 'init', '-q', 'repository'],
    ['git', '-C', 'repository', 'config', 'user.email', 'a@b'],
    ['git', '-C', 'repository', 'config', 'user.name', 'n'],
    ['cp', 'd/g', 'repository/file'],
    ['git', '-C', 'repository', 'add', 'file'],
    ['git', '-C', 'repository', 'commit', '-q', '-m', 'one'],
    ['git', '-C', 'repository', 'fsck', '--strict'],
):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
assert subprocess.run(['git', '-C', 'repository', 'status', '--short'], check=True, capture_output=True).stdout == b''
subprocess.run(['rm', '-r', 'repository', 'd', 'big', 'log'], check=True)
assert os.listdir('.') == [], os.listdir('.')
sys.stdout.write('all of it\n')
