"""What several users may do on a mount: rows of (what, found, expected) as JSON. Run as root: rights.py MOUNT OTHER_MOUNT."""
import errno, json, os, stat, struct, subprocess, sys

ACCESS, DEFAULT = 'system.posix_acl_access', 'system.posix_acl_default'
ANN, BOB, DEE, TEAM = 40001, 40002, 40003, 40050  # numbers that no Debian system has users for
rows = []
here, there = (os.path.join(mount, 'rights') for mount in sys.argv[1:3])


def says(what, found, expected):
    rows.append((what, found, expected))


def named(error):
    # One number, two names.
    return 'EOPNOTSUPP' if error.errno == errno.EOPNOTSUPP else errno.errorcode.get(error.errno, str(error.errno))


def attempt(run):
    """What `run` gives, or the name of its errno."""
    try:
        return run()
    except OSError as error:
        return named(error)


def as_user(uid, groups, run):
    """The same for another user, with its own number as its group; what it gives is text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.umask(0o022)
            result = attempt(run)
        except BaseException as error:  # nothing may run on in the child
            result = repr(error)
        os.write(writer, str(result).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as result:
        text = result.read()
    os.waitpid(child, 0)
    return text


def acl(*entries):
    """Entries as (tag, bits) or (tag, bits, id), with the tags of acl(5)."""
    packed = [struct.pack('<HHI', tag, bits, rest[0] if rest else 0xFFFFFFFF) for tag, bits, *rest in entries]
    return b'\x02\0\0\0' + b''.join(packed)


USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32


def read(path):
    with open(path) as file:
        return file.read()


def make(name, mode, text='text'):
    path = os.path.join(here, name)
    with open(path, 'w') as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def mode_of(path):
    return oct(stat.S_IMODE(os.stat(path).st_mode))


def other(path):
    return path.replace(here, there)


os.mkdir(here)
os.chmod(here, 0o755)

# An ACL alone lets in and keeps out, on both mounts, from the moment it is set.
file = make('listed', 0o640)
for mount in (file, other(file)):
    says('without an ACL', as_user(ANN, [], lambda: read(mount)), 'EACCES')
os.setxattr(file, ACCESS, acl((USER_OBJ, 6), (USER, 4, ANN), (GROUP_OBJ, 4), (GROUP, 6, TEAM), (MASK, 6), (OTHER, 0)))
for mount in (file, other(file)):
    says('a user whom only the ACL names', as_user(ANN, [], lambda: read(mount)), 'text')
    says('more than it says', as_user(ANN, [], lambda: open(mount, 'r+').close()), 'EACCES')
    says('a member of a group that it names', as_user(BOB, [7, TEAM], lambda: open(mount, 'r+').close()), 'None')
    says('anybody else', as_user(DEE, [7], lambda: read(mount)), 'EACCES')
says('the mode is the mask', mode_of(other(file)), '0o660')
os.chmod(other(file), 0o600)
says('chmod changes the mask', as_user(ANN, [], lambda: read(file)), 'EACCES')
says('the ACL after it', struct.unpack('<HH', os.getxattr(file, ACCESS)[36:40]), (MASK, 0))
os.setxattr(file, ACCESS, acl((USER_OBJ, 6), (USER, 0, ANN), (GROUP_OBJ, 4), (MASK, 4), (OTHER, 4)))
says('an ACL keeps out whom the mode lets in', as_user(ANN, [], lambda: read(other(file))), 'EACCES')
os.removexattr(other(file), ACCESS)
says('until it is taken away', as_user(ANN, [], lambda: read(file)), 'text')
says('an ACL of another', as_user(ANN, [], lambda: os.setxattr(file, ACCESS, acl((1, 7), (4, 7), (32, 7)))), 'EPERM')
says('which mode was kept', mode_of(file), '0o644')

# A default ACL, a set-gid directory, a umask.
team = os.path.join(here, 'team')
os.mkdir(team)
os.chown(team, 0, TEAM)
os.chmod(team, 0o2770)
says('no member', as_user(ANN, [], lambda: open(team + '/a', 'w').close()), 'EACCES')
says('a member', as_user(ANN, [7, TEAM], lambda: open(team + '/a', 'w').close()), 'None')
made = os.stat(other(team + '/a'))
says('group of the directory, umask', (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)), (ANN, TEAM, 0o644))
says('set-gid of its group', as_user(ANN, [TEAM], lambda: os.chmod(team + '/a', 0o2755) or mode_of(team + '/a')), '0o2755')
says('not of another', as_user(ANN, [], lambda: os.chmod(file, 0o2755)), 'EPERM')
entries = acl((USER_OBJ, 7), (USER, 7, DEE), (GROUP_OBJ, 5), (MASK, 7), (OTHER, 0))
os.setxattr(team, DEFAULT, entries)
os.chmod(team, 0o2777)
says('a default ACL instead of the umask', as_user(ANN, [], lambda: os.mkdir(team + '/d', 0o777) or mode_of(team + '/d')), '0o2770')
says('is handed on', os.getxattr(other(team + '/d'), DEFAULT) == entries, True)
says('and counts', as_user(DEE, [], lambda: open(other(team + '/d/new'), 'w').close()), 'None')

# Groups of a process count as they are, not as they were.
with open(team + '/t', 'w') as out:
    out.write('text')
os.removexattr(team + '/t', ACCESS)
os.chmod(team + '/t', 0o640)
def keeps_setgid():
    os.seteuid(ANN)  # file rights of another, and still the right to change groups back
    before = attempt(lambda: read(team + '/t'))
    os.seteuid(0)
    os.setgroups([TEAM])
    os.seteuid(ANN)
    return before, attempt(lambda: read(team + '/t'))
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.setgroups([])
    os.setegid(ANN)
    os.write(writer, json.dumps(keeps_setgid()).encode())
    os._exit(0)
os.close(writer)
with os.fdopen(reader) as result:
    says('before and after setgroups', json.loads(result.read()), ['EACCES', 'text'])
os.waitpid(child, 0)

# Privileges of a file end when it changes.
CAPS = 'security.capability'
net_raw = struct.pack('<5I', 0x02000001, 1 << 13, 0, 0, 0)
program = make('program', 0o6777)
os.setxattr(program, CAPS, net_raw)
says('capabilities are kept', os.getxattr(other(program), CAPS) == net_raw, True)
says('set by others', as_user(ANN, [], lambda: os.setxattr(program, CAPS, net_raw)), 'EPERM')
with open(other(program), 'a') as out:
    out.write('more')
says('a write by root ends capabilities', attempt(lambda: os.getxattr(program, CAPS)), 'ENODATA')
says('and nothing else', mode_of(program), '0o6777')
def append():
    with open(program, 'a') as out:
        out.write('more')
says('one by others', as_user(ANN, [], append), 'None')
says('ends set-uid and set-gid', mode_of(other(program)), '0o777')
os.chmod(program, 0o6755)
os.setxattr(program, CAPS, net_raw)
os.chown(program, ANN, -1)
says('a change of owner ends all', (mode_of(other(program)), attempt(lambda: os.getxattr(program, CAPS))), ('0o755', 'ENODATA'))

# Sticky directories; attributes of other namespaces.
sticky = os.path.join(here, 'sticky')
os.mkdir(sticky)
os.chmod(sticky, 0o1777)
as_user(ANN, [], lambda: open(sticky + '/ann', 'w').close())
says('another’s name in a sticky directory', as_user(DEE, [], lambda: os.unlink(other(sticky) + '/ann')), 'EPERM')
says('one’s own', as_user(ANN, [], lambda: os.unlink(other(sticky) + '/ann')), 'None')
os.setxattr(file, 'trusted.secret', b'x')
says('trusted ones', as_user(ANN, [], lambda: os.getxattr(file, 'trusted.secret')), 'ENODATA')
says('are not even listed', as_user(ANN, [], lambda: os.listxattr(file)), '[]')
says('but to root', os.listxattr(other(file)), ['trusted.secret'])
says('an unknown namespace', attempt(lambda: os.setxattr(file, 'strange.a', b'x')), 'EOPNOTSUPP')
says('too long a value', attempt(lambda: os.setxattr(file, 'user.a', bytes(65537))), 'E2BIG')
says('too long a name', attempt(lambda: os.setxattr(file, 'user.' + 'n' * 251, b'')), 'ERANGE')

# A mount that may not be written to.
view = os.path.join(os.path.dirname(sys.argv[1]), 'view')
os.mkdir(view)
subprocess.run(['mount', '--bind', here, view], check=True)
try:
    subprocess.run(['mount', '-o', 'remount,bind,ro', view], check=True)
    for what, run in {
        'create': lambda: open(view + '/new', 'w'),
        'write': lambda: open(view + '/listed', 'a'),
        'chmod': lambda: os.chmod(view + '/listed', 0o600),
        'unlink': lambda: os.unlink(view + '/listed'),
        'setxattr': lambda: os.setxattr(view + '/listed', 'user.a', b'x'),
        'touch': lambda: os.utime(view + '/listed'),
        'read': lambda: read(view + '/listed'),
    }.items():
        says(f'read-only: {what}', attempt(run), 'text' if what == 'read' else 'EROFS')
finally:
    subprocess.run(['umount', '-l', view], check=True)

print(json.dumps(rows))
