import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Blobs } from '../../../server/store/blobs.ts'
import { blobBytesMax, probeName } from '../../../server/store/longest-blob.ts'
import { VolumeStore } from '../../../server/store/volume-store.ts'
import { newDir, openStore, quiet } from './volume-fixture.ts'

// What a member can't hold it must not promise: with blocks of 1 KiB, ext4 ends files at 4 TiB.

/** A disk of its own with ext4. */
async function ext4(t: Test, blockBytes: number): Promise<string> {
  const image = join(await newDir(t), 'disk.img')
  const dir = await newDir(t)
  execFileSync('truncate', ['-s', '32M', image])
  execFileSync('mkfs.ext4', ['-q', '-b', String(blockBytes), image])
  execFileSync('mount', ['-o', 'loop', image, dir])
  t.teardown(() => execFileSync('umount', ['-l', dir]))
  return dir
}

void t.test('a store is refused where files can not be as long as everywhere else', async (t) => {
  const disk = await ext4(t, 1024)
  const dir = join(disk, 'store')
  await t.rejects(VolumeStore.open(dir, quiet), /cannot hold a file of 16 TiB.*ext4 with blocks of 4 KiB/)
  t.notOk(existsSync(join(dir, 'meta')), 'no store was made')
  t.notOk(existsSync(join(dir, probeName)), 'nothing is left of the trial')
})

void t.test('blocks of 4 KiB hold the longest file, and the trial leaves nothing', async (t) => {
  const dir = join(await ext4(t, 4096), 'store')
  await (await openStore(t, dir)).close()
  t.notOk(existsSync(join(dir, probeName)))
  const blobs = new Blobs(join(dir, 'more'), () => false)
  t.teardown(() => blobs.close())
  blobs.write(7n, blobBytesMax - 3, Buffer.from('end'))
  t.equal(blobs.readNow(7n, blobBytesMax - 3, 10).toString(), 'end')
  t.throws(() => blobs.write(7n, blobBytesMax, Buffer.from('more')), { code: 'EFBIG' })
})

void t.test('a limit on the files of the process is a reason, too', async (t) => {
  const dir = join(await newDir(t), 'store')
  mkdirSync(dir)
  const code = `import { demandLongBlobs } from ${JSON.stringify(new URL('../../../server/store/longest-blob.ts', import.meta.url).href)}
    try { demandLongBlobs(${JSON.stringify(dir)}) } catch (error) { console.log(error.message) }`
  const node = `ulimit -f 1000000; exec "$0" --import=tsx --input-type=module -e "$1"`
  const { stdout } = spawnSync('bash', ['-c', node, process.execPath, code], { encoding: 'utf8' })
  t.match(stdout, /ulimit -f/)
})

void t.test('a trial that was cut short makes no store a foreign folder', async (t) => {
  const dir = join(await newDir(t), 'store')
  mkdirSync(dir)
  writeFileSync(join(dir, probeName), '')
  await (await openStore(t, dir)).close()
  t.notOk(existsSync(join(dir, probeName)))
})
