import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Mutation } from './mutation.ts'

const checkout = fileURLToPath(new URL('../../', import.meta.url))

/** All that a simulation is made of. */
const parts = [
  'replication',
  'test/simulation',
  ...['ids', 'volume-number'].map((name) => `proto/${name}.ts`),
  'server/store/effect.ts',
  ...['leases', 'lease-holder', 'touches', 'places'].map((name) => `server/session/${name}.ts`),
]

export interface Mutant {
  /** Runs seeds with the fault in it. */
  readonly runner: string
  remove(): Promise<void>
}

/**
 * A copy of the program with a fault put in, in a folder of its own: the program itself has no switches for faults.
 * Every text that is replaced must be there exactly once, so that a mutation can't rot away unnoticed.
 */
export async function plant(mutation: Mutation): Promise<Mutant> {
  const root = await mkdtemp(join(tmpdir(), 'banyan-planted-'))
  for (const part of parts) {
    await mkdir(join(root, dirname(part)), { recursive: true })
    await cp(join(checkout, part), join(root, part), { recursive: true, filter: (path) => !path.endsWith('.test.ts') })
  }
  await writeFile(join(root, 'package.json'), '{ "type": "module" }')
  for (const { file, find, replace } of mutation.edits) {
    const path = join(root, file)
    const before = await readFile(path, 'utf8')
    const found = before.split(find).length - 1
    if (found !== 1) throw new Error(`'${mutation.name}': its text is ${found} times in ${file}, not once:\n${find}`)
    await writeFile(
      path,
      before.replace(find, () => replace),
    )
  }
  return {
    runner: join(root, 'test/simulation/seed-runner.ts'),
    remove: () => rm(root, { recursive: true, force: true }),
  }
}
