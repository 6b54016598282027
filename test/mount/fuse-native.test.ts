import { chmodSync, chownSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { checkout } from '../fixtures/program.ts'
import { type Ran, run } from '../fixtures/run.ts'
import { sweep } from '../fixtures/sweep.ts'

// An ordinary user runs a cluster and mounts it, without any right but that of calling the setuid fusermount.

t.setTimeout(300_000)

/** Debian's nobody. */
const user = 65_534
const program = '$CHECKOUT/build/cli/banyan.js'

/**
 * Runs lines of shell as that user, in namespaces of their own: there /dev/fuse is everybody's, as udev makes it, and all
 * that he needs stands below /mnt, since a temporary folder may be root's alone. Its processes and mounts end with it.
 */
async function asUser(t: Test, lines: string): Promise<Ran> {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-test-'))
  t.teardown(() => sweep(folder))
  for (const name of ['checkout', 'mnt', 'state']) mkdirSync(join(folder, name))
  for (const name of ['', 'mnt', 'state']) chownSync(join(folder, name), user, user)
  chmodSync(folder, 0o755)
  writeFileSync(join(folder, 'user.sh'), `set -e\n${lines}\n`)
  const prepare = [
    `mount --bind ${folder} /mnt`,
    `mount --bind ${checkout} /mnt/checkout`,
    'mknod -m 666 /mnt/fuse c 10 229',
    'mount --bind /mnt/fuse /dev/fuse',
    'mount -t tmpfs -o mode=1777 tmpfs /dev/shm',
    'cd /mnt',
    `CHECKOUT=/mnt/checkout HOME=/mnt TMPDIR=/mnt setpriv --reuid ${user} --regid ${user} --clear-groups bash user.sh`,
  ]
  const args = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'bash', '-e', '-c', prepare.join('\n')]
  return await run('unshare', args, { limitMs: 200_000 })
}

const up = `node ${program} up --detach --driver fuse-native --state state --mount mnt`
const down = `node ${program} down --state state`

void t.test('his programs work in a mount of his own', async (t) => {
  const { code, stdout, stderr } = await asUser(
    t,
    `${up}
    (cd mnt && python3 $CHECKOUT/test/mount/ordinary-user.py)
    mkdir looking; echo text > mnt/kept
    node ${program} mount looking --driver fuse-native --read-only --state state &
    timeout 60 sh -c 'until grep -q " /mnt/looking ro," /proc/self/mountinfo; do sleep 0.1; done'
    cat looking/kept
    for refused in 'touch looking/new' 'rm looking/kept' 'mkdir looking/new'; do
      ! $refused 2> said; grep 'Read-only file system' said
    done
    fusermount -u looking; wait $!
    node ${program} verify --state state
    ${down}
    ! grep " /mnt/mnt " /proc/self/mountinfo`,
  )
  t.equal(code, 0, stderr)
  t.match(stdout, /Mounted at .*mnt/)
  t.match(stdout, /all of it\n/)
  t.match(stdout, /Mounted read-only at .*looking/)
  t.match(stdout, /^text$/m)
})

void t.test('a server dies, and he notices nothing; driver or supervisor dies, and the mount is gone', async (t) => {
  const { code, stdout, stderr } = await asUser(
    t,
    `${up}
    echo before > mnt/file
    node ${program} server stop s1 --state state
    cat mnt/file
    echo after >> mnt/file
    node ${program} server start s1 --state state
    node ${program} resync --state state
    pkill -KILL -u ${user} -f "banyan.js drive /mnt/mnt"
    for i in $(seq 100); do grep -q " /mnt/mnt " /proc/self/mountinfo || break; sleep 0.1; done
    ! grep " /mnt/mnt " /proc/self/mountinfo
    node ${program} mount mnt --driver fuse-native --state state > mount.out 2>&1 &
    for i in $(seq 100); do [ -e mnt/file ] && break; sleep 0.1; done
    cat mnt/file
    pkill -KILL -u ${user} -f "banyan.js mount mnt"
    for i in $(seq 100); do grep -q " /mnt/mnt " /proc/self/mountinfo || break; sleep 0.1; done
    ! grep " /mnt/mnt " /proc/self/mountinfo
    ${down}
    ! pgrep -u ${user} -f "banyan.js drive"`,
  )
  t.equal(code, 0, stderr)
  t.match(stdout, /before\n[\s\S]*before\nafter\n/)
})

void t.test('who may not mount is told of the other driver', async (t) => {
  const { code, stderr } = await asUser(t, `node ${program} up --state state --mount mnt`)
  t.not(code, 0)
  t.match(
    stderr,
    /only root may mount\. Nothing was started\. Run this with sudo, or mount with --driver fuse-native\.\n$/,
  )
})
