import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { mustRun } from '../fixtures/run.ts'
import { python, scripts } from './operations-scripts.ts'

// What programs may do to files beyond opening, reading and writing: the same scripts say the same on the mount and in a
// plain folder of the disk's own file system. What differs on purpose is checked by itself.

t.setTimeout(180_000)

const cluster = await Cluster.start(t)
const plain = join(cluster.folder, 'plain')
mkdirSync(plain)

let count = 0
/** Runs a Python script in a new folder of `dir`, as root; gives what it said. */
async function inside(dir: string, script: string): Promise<string> {
  const file = join(cluster.folder, `script-${count++}.py`)
  writeFileSync(file, `${python}\n${script}`)
  const { stdout } = await mustRun('python3', [file, dir], { limitMs: 60_000 })
  return stdout.trim()
}

for (const { what, script, expected } of scripts) {
  void t.test(what, async (t) => {
    const onDisk = expected ?? (await inside(plain, script))
    t.equal(await inside(cluster.tree, script), onDisk.trim())
  })
}
