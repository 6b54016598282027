"""What editors leave behind when they save: one line a look, from the other side. Run as: saves.py FOLDER OTHER_FOLDER
(the same folder by another mount; or the same path twice). FOLDER is new; what is printed does not depend on where it is."""
import hashlib, os, subprocess, sys, threading

here, there = (os.path.join(folder, 'saves') for folder in sys.argv[1:3])
os.mkdir(here)


def vim(*settings):
    # Vim makes no backup of temporary files.
    def save(path, old, new):
        commands = [*(f'set {setting}' for setting in ('backupskip=', *settings)), f'%s/{old}/{new}/', 'wq']
        words = [word for command in commands for word in ('-c', command)]
        subprocess.run(['vim.tiny', '-N', '-u', 'NONE', '-i', 'NONE', '-es', *words, path], check=True)

    return save


def sed(*options):
    return lambda path, old, new: subprocess.run(['sed', *options, f's/{old}/{new}/', path], check=True)


def python_over(path, old, new):
    """As many programs save: a new file, flushed, renamed over the old one."""
    with open(path) as file:
        text = file.read()
    with open(path + '.new', 'w') as file:
        file.write(text.replace(old, new))
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + '.new', path)


EDITORS = {
    'vim, no backup': vim('nobackup', 'nowritebackup'),
    'vim, written in place': vim('nobackup', 'writebackup', 'backupcopy=yes'),
    'vim, renamed': vim('nobackup', 'writebackup', 'backupcopy=no'),
    'vim, as it likes': vim('nobackup', 'writebackup', 'backupcopy=auto'),
    'vim, a backup stays, in place': vim('backup', 'backupcopy=yes'),
    'vim, a backup stays, renamed': vim('backup', 'backupcopy=no', 'backupext=.bak', 'noswapfile'),
    'sed -i': sed('-i'),
    'sed -i.bak': sed('-i.bak'),
    'sed --follow-symlinks': sed('-i', '--follow-symlinks'),
    'a file renamed over': python_over,
}


def content(word, lines):
    return ''.join(f'{word} in line {line} of {lines}\n' for line in range(lines))


def read(path):
    with open(path) as file:
        return file.read()


def look(directory):
    """All that can be seen of a folder, but for numbers of inodes, and times."""
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        at = os.lstat(path)
        attributes = {each: os.getxattr(path, each, follow_symlinks=False) for each in sorted(os.listxattr(path, follow_symlinks=False))}
        said = os.readlink(path) if os.path.islink(path) else hashlib.sha256(read(path).encode()).hexdigest()[:16]
        yield f'  {name} {at.st_mode:o} {at.st_uid}:{at.st_gid} links {at.st_nlink} {at.st_size} {attributes} {said}'


def prepare(directory, lines):
    os.mkdir(directory)
    path = os.path.join(directory, 'text')
    with open(path, 'w') as file:
        file.write(content('old', lines))
    os.chmod(path, 0o640)
    os.chown(path, 40001, 40050)
    os.setxattr(path, 'user.kept', b'value')
    return path


def edited(what, save, kind, lines):
    directory = f'{len(os.listdir(here))}'
    path = prepare(os.path.join(here, directory), lines)
    if kind == 'linked':
        os.link(path, path + '-other')
    if kind == 'symlink':
        os.rename(path, path + '-target')
        os.symlink('text-target', path)
    seen = os.path.join(there, directory, 'text')
    list(look(os.path.dirname(seen)))  # now everything is cached there
    with open(seen) as held:
        for old, new in (('old', 'newer'), ('newer', 'x')):
            save(path, old, new)
            if read(seen) != content(new, lines):
                print(f'WRONG: {what}, {kind}, {lines} lines: {new} is not seen as a whole')
            if os.stat(seen).st_size != len(content(new, lines)):
                print(f'WRONG: {what}, {kind}, {lines} lines: the size of {new} is not seen')
        same = os.fstat(held.fileno()).st_ino == os.stat(seen).st_ino
        print(f'{what}, {kind}, {lines} lines: {"the same" if same else "a new"} inode; the old descriptor reads', held.readline().split()[0])
    print('\n'.join(look(os.path.dirname(seen))))


def never_torn(rounds, lines):
    """While one side saves by renaming, the other one reads: always a whole file, never an absent one."""
    path = prepare(os.path.join(here, 'read-meanwhile'), lines)
    seen = os.path.join(there, 'read-meanwhile', 'text')
    ended, torn, counts = threading.Event(), [], set()

    def reader():
        while not ended.is_set():
            try:
                text = read(seen)
            except OSError as error:
                torn.append(str(error))
                continue
            word = text.split(' ', 1)[0]
            counts.add(word)
            if text != content(word, lines):
                torn.append(f'{word}: {len(text)} bytes')

    thread = threading.Thread(target=reader)
    thread.start()
    words = ['old', *(f'word{round}' for round in range(rounds))]
    for old, new in zip(words, words[1:]):
        (python_over if len(counts) % 2 else sed('-i'))(path, old, new)
        if read(seen) != content(new, lines):
            torn.append(f'{new} is not seen at once')
    ended.set()
    thread.join()
    print('read while saved:', 'always whole' if not torn else torn[:5])
    print('several states were seen' if len(counts) > 1 else 'the reader saw nothing change')


for what, save in EDITORS.items():
    for kind, lines in (('alone', 2), ('linked', 20), ('symlink', 4000)):
        edited(what, save, kind, lines)
never_torn(15, 2000)
