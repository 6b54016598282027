import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { mustRun, run } from '../fixtures/run.ts'
import { expect, waitFor } from '../fixtures/wait.ts'

// Open files: without a name, mapped into memory, written with O_SYNC, across the death of the servers below them.

t.setTimeout(180_000)

/** Opens, unlinks, says so, waits for a line, writes on, and prints all that the file holds. */
const orphanSource = `
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static void must(int fine, const char *what) { if (!fine) { perror(what); exit(1); } }
int main(int argc, char **argv) {
  char text[100] = {0};
  struct stat st;
  int fd = open(argv[1], O_RDWR | O_CREAT | O_EXCL, 0600);
  must(fd >= 0 && write(fd, "before ", 7) == 7, "write");
  must(unlink(argv[1]) == 0, "unlink");
  puts("unlinked"); fflush(stdout);
  must(fgets(text, sizeof text, stdin) != NULL, "waiting");
  must(write(fd, "after", 5) == 5 && fsync(fd) == 0, "write after");
  memset(text, 0, sizeof text);
  must(pread(fd, text, sizeof text, 0) == 12, "read");
  must(fstat(fd, &st) == 0, "fstat");
  printf("%s, %ld links\\n", text, (long)st.st_nlink);
  return 0;
}
`

/** Maps a file shared, writes into it beyond its first page, syncs, and checks what read says; then the other way round. */
const mapSource = `
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static void must(int fine, const char *what) { if (!fine) { perror(what); exit(1); } }
int main(int argc, char **argv) {
  char text[20] = {0};
  int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
  must(fd >= 0 && ftruncate(fd, 20000) == 0, "ftruncate");
  char *at = mmap(NULL, 20000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  must(at != MAP_FAILED, "mmap");
  strcpy(at + 9000, "through the map");
  must(msync(at, 20000, MS_SYNC) == 0, "msync");
  must(pread(fd, text, 15, 9000) == 15 && strcmp(text, "through the map") == 0, "read what was mapped");
  strcpy(at + 100, "unsynced");
  must(munmap(at, 20000) == 0 && close(fd) == 0, "munmap");
  fd = open(argv[1], O_RDONLY);
  at = mmap(NULL, 20000, PROT_READ, MAP_PRIVATE, fd, 0);
  must(at != MAP_FAILED && strcmp(at + 9000, "through the map") == 0, "a private map");
  puts("mapped");
  return 0;
}
`

const cluster = await Cluster.start(t)

async function compiled(name: string, source: string): Promise<string> {
  const program = join(cluster.folder, name)
  writeFileSync(`${program}.c`, source)
  await mustRun('gcc', ['-O1', '-o', program, `${program}.c`])
  return program
}

async function ended(child: ChildProcess): Promise<number | null> {
  await waitFor(() => child.exitCode !== null || child.signalCode !== null || undefined, {
    what: 'the program to end',
    limitMs: 60_000,
  })
  return child.exitCode
}

void t.test('a file without a name goes on working when all servers die', async (t) => {
  const holder = spawn(await compiled('orphan', orphanSource), [join(cluster.tree, 'orphan')], { cwd: '/' })
  let said = ''
  for (const stream of [holder.stdout, holder.stderr]) stream.on('data', (bytes: Buffer) => (said += bytes.toString()))
  await waitFor(() => said.includes('unlinked') || undefined, { what: 'the file to be unlinked', limitMs: 20_000 })
  t.equal((await mustRun('ls', [cluster.tree])).stdout, '', 'it has no name')

  const { members } = await cluster.volume()
  for (const { pid } of members) cluster.signal(expect(pid ?? undefined, 'a member has no process'), 'SIGKILL')
  for (const { name } of members) await cluster.waitForState(name, 'down')
  await Promise.all(members.map(({ name }) => cluster.startServer(name)))
  await cluster.resynced()
  holder.stdin.end('go on\n')
  t.equal(await ended(holder), 0)
  t.match(said, 'before after, 0 links', 'both writes are there, and nlink is 0')
})

void t.test('mapped files are written back, and seen through another mount', async (t) => {
  const file = join(cluster.tree, 'mapped')
  const mapped = await run(await compiled('map', mapSource), [file])
  t.equal(mapped.stdout, 'mapped\n', mapped.stderr)
  const [mirror = 's2'] = await cluster.others()
  const other = await cluster.mount('other', { provider: mirror })
  const strings = await mustRun('sh', ['-c', `tr -d '\\0' < "$0"`, join(other, 'mapped')])
  t.equal(strings.stdout, 'unsyncedthrough the map')
  await cluster.unmount(other)
})

void t.test('locks hold within one mount', async (t) => {
  const file = join(cluster.tree, 'locked')
  const script = `exec 9>"$0"; flock 9; flock -n -E 7 "$0" true; echo $?`
  t.equal((await mustRun('sh', ['-c', script, file])).stdout, '7\n', 'a second open file does not get the lock')
})

void t.test('every byte but / and NUL may stand in a name, and names may have 255', async (t) => {
  const script = `cd "$0" && name=$(printf '\\001\\377\\200 *?\\n.x') && echo 1 > "$name" && cat "$name" && rm "$name" &&
    long=$(printf '%0255d' 7) && echo 2 > $long && cat $long && rm $long && ! echo 3 > 0$long`
  const named = await run('sh', ['-c', script, cluster.tree])
  t.equal(named.stdout, '1\n2\n', named.stderr)
  t.match(named.stderr, /File name too long/, 'one byte more is refused')
  t.equal(named.code, 0, 'and nothing else failed')
})
