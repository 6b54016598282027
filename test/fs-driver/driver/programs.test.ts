import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { type MemoryMount, mountMemory } from '../../fixtures/memory-mount.ts'
import { mustRun } from '../../fixtures/run.ts'

const sources = fileURLToPath(new URL('../../../fs-driver', import.meta.url))

let mount: MemoryMount
t.before(async () => {
  mount = await mountMemory()
})
t.teardown(() => mount.close())

/**
 * Runs a shell script in a new directory of the mount; each line must succeed. Not with `cwd`: a process that is being
 * made would go there before this one, which answers for the files, runs on.
 */
async function shell(script: string): Promise<string> {
  const { stdout } = await mustRun('sh', ['-ec', `d=$(mktemp -d) && cd "$d"\n${script}`], {
    env: { TMPDIR: mount.dir, HOME: mount.folder, SOURCES: sources, FOLDER: mount.folder },
    limitMs: 60_000,
  })
  return stdout.trim()
}

/** The same with Python's os module, for what no program of the system does. */
async function python(script: string): Promise<string> {
  const file = path.join(mount.folder, `script-${Math.random().toString(36).slice(2)}.py`)
  writeFileSync(file, `import os, stat, errno, mmap\n${script}`)
  return await shell(`python3 ${file}`)
}

t.setTimeout(120_000)

void t.test('files, directories, links and their attributes', async (t) => {
  t.equal(await shell('echo hello > a; cat a'), 'hello')
  t.equal(await shell('echo a > f; ln f g; stat -c %h g; rm f; stat -c %h g; cat g'), '2\n1\na')
  t.equal(await shell('ln -s some/where l; readlink l; stat -c %F l'), 'some/where\nsymbolic link')
  t.equal(await shell('umask 027; touch f; mkdir d; stat -c %a f d'), '640\n750')
  t.equal(await shell('touch f; chmod 4711 f; chown 12:34 f; stat -c "%a %u %g" f'), '711 12 34', 'chown drops set-uid')
  t.equal(await shell('touch -d "1969-12-31 23:59:58.123456789Z" f; stat -c %.9Y f'), '-1.876543211')
  t.equal(await shell('touch -d "2100-01-01 00:00:00.000000001Z" f; stat -c %.9Y f'), '4102444800.000000001')
  t.equal(await shell('mkfifo p; mknod c c 1 3; stat -c "%F %t %T" p c'), 'fifo 0 0\ncharacter special file 1 3')
  t.equal(await shell('mkdir -p a/b; touch a/b/c; rm -r a; ls'), '')
  t.equal(await shell('mkdir a; touch a/f; mv a b; mv b/f .; rmdir b; ls'), 'f')
})

void t.test('contents: whole, sparse, truncated, appended to, mapped', async (t) => {
  t.equal(
    await shell(
      'dd if=/dev/urandom of=$FOLDER/r bs=1M count=9 status=none; cp $FOLDER/r r; cmp r $FOLDER/r; stat -c %s r',
    ),
    '9437184',
  )
  t.equal(await shell('truncate -s 1G f; stat -c %s f; truncate -s 3 f; stat -c %s f'), '1073741824\n3')
  t.equal(
    await shell(
      'printf a > f; dd if=/dev/zero of=f bs=1 seek=1000000 count=1 status=none; stat -c %s f; head -c 3 f | od -An -tx1',
    ),
    '1000001\n 61 00 00',
  )
  t.equal(await shell('for i in 1 2 3; do echo $i >> f; done; cat f'), '1\n2\n3')
  t.equal(await shell('echo long contents > f; echo x > f; cat f'), 'x')
  const mapped = `
fd = os.open('f', os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 8192)
m = mmap.mmap(fd, 8192)
m[4096:4101] = b'hello'
m.flush()
m.close()
os.close(fd)
print(open('f', 'rb').read()[4096:4101].decode())`
  t.equal(await python(mapped), 'hello')
})

void t.test('an open file outlives its name, and its replacement by another', async (t) => {
  const script = `
fd = os.open('f', os.O_RDWR | os.O_CREAT)
os.write(fd, b'first')
os.unlink('f')
print(os.fstat(fd).st_nlink, os.fstat(fd).st_size)
os.write(fd, b' more')
print(os.pread(fd, 100, 0).decode())
a = os.open('a', os.O_RDWR | os.O_CREAT); os.write(a, b'old')
b = os.open('b', os.O_RDWR | os.O_CREAT); os.write(b, b'new')
os.rename('b', 'a')
print(os.pread(a, 9, 0).decode(), open('a').read())`
  t.equal(await python(script), '0 5\nfirst more\nold new')
})

void t.test('errors are the right ones', async (t) => {
  const script = `
def fails(what, f):
    try: f(); print(what, 'succeeded')
    except OSError as e: print(what, errno.errorcode[e.errno])
os.mkdir('d'); open('d/f', 'w').close()
fails('missing', lambda: os.stat('nothing'))
fails('mkdir', lambda: os.mkdir('d'))
fails('rmdir', lambda: os.rmdir('d'))
fails('notdir', lambda: os.stat('d/f/g'))
fails('isdir', lambda: os.open('d', os.O_WRONLY))
fails('excl', lambda: os.open('d/f', os.O_CREAT | os.O_EXCL))
fails('long', lambda: os.mkdir('x' * 256))
fails('into itself', lambda: os.rename('d', 'd/e'))
fails('not empty', lambda: (os.mkdir('e'), os.rename('e', 'd')))
fails('readlink', lambda: os.readlink('d/f'))
fails('xattr', lambda: os.getxattr('d/f', 'user.none'))
fails('system', lambda: os.setxattr('d/f', 'system.x', b'1'))`
  t.equal(
    await python(script),
    `missing ENOENT
mkdir EEXIST
rmdir ENOTEMPTY
notdir ENOTDIR
isdir EISDIR
excl EEXIST
long ENAMETOOLONG
into itself EINVAL
not empty ENOTEMPTY
readlink EINVAL
xattr ENODATA
system ENOTSUP`,
  )
})

void t.test('extended attributes of users', async (t) => {
  const script = `
open('f', 'w').close()
os.setxattr('f', 'user.a', b'1' * 1000)
os.setxattr('f', 'user.b', b'')
print(len(os.getxattr('f', 'user.a')), sorted(os.listxattr('f')))
os.removexattr('f', 'user.a')
print(os.listxattr('f'))
try: os.setxattr('f', 'user.b', b'2', os.XATTR_CREATE)
except FileExistsError: print('there already')`
  t.equal(await python(script), "1000 ['user.a', 'user.b']\n['user.b']\nthere already")
})

void t.test('a directory of many names is listed whole, also while names go', async (t) => {
  t.equal(
    await shell('mkdir d; cd d; seq -f "a-name-that-takes-some-room-%g" 400 | xargs touch; ls | wc -l; ls -l | wc -l'),
    '400\n401',
  )
  const script = `
os.mkdir('d')
for i in range(200): open(f'd/{i}', 'w').close()
seen = set()
with os.scandir('d') as it:
    for e in it:
        seen.add(e.name)
        os.unlink('d/' + e.name)
print(len(seen), os.listdir('d'))`
  t.equal(await python(script), '200 []')
})

void t.test('names and attributes in one answer give the same listing', async (t) => {
  const plus = await mountMemory({ env: { LISTING: 'plus' } })
  t.teardown(() => plus.close())
  const list = 'mkdir d; touch d/a d/b; ln d/a d/c; mkdir d/e; seq -f "d/file-%g" 100 | xargs touch; ls -ain d | sort'
  let [plain, withAttributes] = [0, 0]
  plus.client.gate = (call) => {
    if (call.$case !== 'readdir') return undefined
    if (call.value.attributes) withAttributes++
    else plain++
    return undefined
  }
  const { stdout } = await mustRun('sh', ['-ec', `cd ${plus.dir}\n${list}`])
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
  t.equal(lines.length, 1 + 2 + 104)
  const line = (name: string) => lines.find((fields) => fields.at(-1) === name)
  t.same(line('a')?.slice(0, 3), line('c')?.slice(0, 3), 'inode, mode, links')
  t.match(line('e'), [/\d+/, 'drwxr-xr-x', '2'])
  t.match(line('.'), [/\d+/, 'drwxr-xr-x', '3'])
  t.ok(withAttributes > 0, `${withAttributes} listings with attributes, ${plain} without`)
})

void t.test('who may do what: the owner, the groups, the others', async (t) => {
  const script = `
os.mkdir('d'); os.chmod('d', 0o770); os.chown('d', 0, 777)
open('d/f', 'w').close(); os.chmod('.', 0o755)
def as_user(groups, f):
    pid = os.fork()
    if pid == 0:
        os.setgroups(groups); os.setgid(1000); os.setuid(1000)
        try: f(); print('may', flush=True)
        except OSError as e: print(errno.errorcode[e.errno], flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
as_user([], lambda: os.listdir('d'))
as_user([777], lambda: os.listdir('d'))
as_user([777], lambda: os.mkdir('d/mine'))
print(os.stat('d/mine').st_uid, os.stat('d/mine').st_gid)
os.chmod('d', 0o2770)
as_user([777], lambda: os.mkdir('d/ours'))
print(os.stat('d/ours').st_gid, oct(os.stat('d/ours').st_mode))
as_user([777], lambda: os.chmod('d/f', 0o777))`
  t.equal(await python(script), 'EACCES\nmay\nmay\n1000 1000\nmay\n777 0o42755\nEPERM')
})

void t.test('RENAME_NOREPLACE and RENAME_EXCHANGE', async (t) => {
  const script = `
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def rename2(a, b, flags):
    r = libc.renameat2(-100, a.encode(), -100, b.encode(), flags)
    return 'ok' if r == 0 else errno.errorcode[ctypes.get_errno()]
open('a', 'w').write('1'); open('b', 'w').write('2')
print(rename2('a', 'b', 1), rename2('a', 'b', 2), open('a').read(), open('b').read(), rename2('a', 'c', 1))`
  t.equal(await python(script), 'EEXIST ok 2 1 ok')
})

void t.test('git, tar and cp -a', async (t) => {
  const script = `
git init -q g; cd g; cp -r $SOURCES .; git add .
git -c user.name=a -c user.email=a@b commit -qm first
git fsck --strict; git status --porcelain
git clone -q . ../h; diff -r fs-driver ../h/fs-driver
cd ..; tar cf t.tar g; mkdir x; tar xf t.tar -C x; diff -r g x/g
cp -a g y; diff -r g y; cd y; git status --porcelain
echo same`
  t.equal(await shell(script), 'same')
})

void t.test('sqlite keeps its promises to itself', async (t) => {
  const script = `
sqlite3 db "create table t (n integer); $(seq -f 'insert into t values (%g);' 100)"
sqlite3 db "pragma integrity_check; select count(*), sum(n) from t"`
  t.equal(await shell(script), 'ok\n100|5050')
})

void t.test('nothing was left unanswered, unclosed, or worth a line in the log', async (t) => {
  t.strictSame(mount.errors, [])
  t.strictSame(mount.exits, [])
  t.ok(mount.client.remembered < 10, `${mount.client.remembered} results are kept`)
})
