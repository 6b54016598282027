// `npm run check`: types, lint, format, and that the generated code is what the .proto files give.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

interface Check {
  readonly name: string
  readonly run: () => boolean
  readonly remedy: string
}

const bin = (name: string): string => path.resolve('node_modules', '.bin', name)

function succeeds(command: string, args: readonly string[], cwd = '.'): boolean {
  return spawnSync(command, args, { stdio: 'inherit', cwd }).status === 0
}

/** Generates in a folder of its own, so that a check changes nothing in the checkout. */
function generatedIsCurrent(): boolean {
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'banyan-check-'))
  try {
    for (const name of ['proto', 'buf.gen.yaml', 'buf.yaml'])
      cpSync(name, path.join(scratch, name), { recursive: true })
    rmSync(path.join(scratch, 'proto', 'generated'), { recursive: true, force: true })
    symlinkSync(path.resolve('node_modules'), path.join(scratch, 'node_modules'))
    if (!succeeds(bin('buf'), ['generate'], scratch)) return false
    const fresh = contents(path.join(scratch, 'proto', 'generated'))
    const ours = contents(path.join('proto', 'generated'))
    const differing = [...new Set([...fresh.keys(), ...ours.keys()])].filter(
      (name) => fresh.get(name) !== ours.get(name),
    )
    for (const name of differing) console.error(`proto/generated/${name} is not what its .proto file gives`)
    return differing.length === 0
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

function contents(folder: string): Map<string, string> {
  return new Map(readdirSync(folder).map((name) => [name, readFileSync(path.join(folder, name), 'utf8')]))
}

const checks: readonly Check[] = [
  { name: 'types', run: () => succeeds(bin('tsc'), ['--noEmit', '-p', '.']), remedy: 'see above' },
  { name: 'lint', run: () => succeeds(bin('oxlint'), ['--type-aware', '--deny-warnings']), remedy: 'see above' },
  { name: 'format', run: () => succeeds(bin('biome'), ['check', '.']), remedy: 'npx biome check --write .' },
  { name: 'generated code', run: generatedIsCurrent, remedy: 'npx buf generate' },
]

const failed = checks.filter((check) => !check.run())
for (const check of failed) console.error(`banyan: ${check.name} failed (${check.remedy})`)
if (failed.length === 0) console.log(checks.map((check) => `${check.name} ok`).join(', '))
process.exitCode = failed.length === 0 ? 0 : 1
