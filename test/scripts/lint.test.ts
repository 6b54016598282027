import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import t from 'tap'

// The linter holds the direction of imports; a rule that silently matches nothing would hold it no more.

const root = mkdtempSync(path.join(os.tmpdir(), 'banyan-lint-'))
t.teardown(() => rmSync(root, { recursive: true, force: true }))
cpSync('.oxlintrc.json', path.join(root, '.oxlintrc.json'))
cpSync('tsconfig.json', path.join(root, 'tsconfig.json'))
symlinkSync(path.resolve('node_modules'), path.join(root, 'node_modules'))

const refused: readonly (readonly [file: string, text: string, rule: string])[] = [
  [
    'replication/x.ts',
    "import { readFileSync } from 'node:fs'\nexport const a = readFileSync",
    'no-restricted-imports',
  ],
  [
    'replication/x.ts',
    "import { randomBytes } from 'node:crypto'\nexport const a = randomBytes",
    'no-restricted-imports',
  ],
  [
    'replication/x.ts',
    "import { AsyncLocalStorage } from 'node:async_hooks'\nexport const a = AsyncLocalStorage",
    'no-restricted-imports',
  ],
  ['replication/x.ts', "import { pino } from 'pino'\nexport const a = pino", 'no-restricted-imports'],
  ['replication/x.ts', "import { Server } from '@grpc/grpc-js'\nexport const a = Server", 'no-restricted-imports'],
  ['replication/x.ts', "import { v } from '../server/view.ts'\nexport const a = v", 'no-restricted-imports'],
  ['replication/x.ts', 'export const a = Date.now()', 'no-restricted-globals'],
  ['replication/x.ts', 'export const a = Math.random()', 'no-restricted-properties'],
  ['server/x.ts', "import { v } from '../fs-driver/log.ts'\nexport const a = v", 'no-restricted-imports'],
  ['server/rpc/x.ts', "import { v } from '../../cli/banyan.ts'\nexport const a = v", 'no-restricted-imports'],
  [
    'server/filesystem/x.ts',
    "import { readFileSync } from 'node:fs'\nexport const a = readFileSync",
    'no-restricted-imports',
  ],
  ['fs-driver/x.ts', "import { v } from '../server/server.ts'\nexport const a = v", 'no-restricted-imports'],
  [
    'fs-driver/router/x.ts',
    "import { v } from '../../replication/entry.ts'\nexport const a = v",
    'no-restricted-imports',
  ],
  ['fs-driver/protocol/x.ts', "import { readSync } from 'node:fs'\nexport const a = readSync", 'no-restricted-imports'],
  ['proto/x.ts', "import { v } from '../replication/entry.ts'\nexport const a = v", 'no-restricted-imports'],
  ['cli/x.ts', 'export default 1', 'no-default-export'],
  ['cli/x.ts', 'export const a: any = 1', 'no-explicit-any'],
  ['cli/x.ts', 'declare function f(): Promise<void>\nf()\nexport const a = 1', 'no-floating-promises'],
  ['cli/x.ts', `export const a = 1${'\n// line'.repeat(600)}`, 'max-lines'],
]

const allowed: readonly (readonly [file: string, text: string])[] = [
  ['replication/x.ts', "import assert from 'node:assert'\nexport const a = assert"],
  ['replication/x.ts', "import assert from 'node:assert/strict'\nexport const a = assert"],
  ['replication/x.ts', "import { v } from '../proto/ids.ts'\nimport { w } from './y.ts'\nexport const a = [v, w]"],
  ['server/x.ts', "import { v } from '../replication/entry.ts'\nexport const a = v"],
  ['cli/x.ts', "import { v } from '../fs-driver/log.ts'\nimport { w } from '../server/x.ts'\nexport const a = [v, w]"],
]

/** Each in a file of its own; the linter runs once over all of them. */
const planted = [...refused, ...allowed].map(([file, text], index) => {
  const name = file.replace('x.ts', `x${index}.ts`)
  mkdirSync(path.dirname(path.join(root, name)), { recursive: true })
  writeFileSync(path.join(root, name), text)
  return name
})
const { stdout } = spawnSync('node_modules/.bin/oxlint', ['--type-aware', '--deny-warnings', '--format=unix', '.'], {
  cwd: root,
  encoding: 'utf8',
})
const said = (index: number): string[] => stdout.split('\n').filter((line) => line.startsWith(`${planted[index]}:`))

for (const [index, [file, text, rule]] of refused.entries()) {
  void t.test(`${path.dirname(file)} may not: ${text.split('\n')[0]?.slice(0, 60)}`, async (t) => {
    t.ok(
      said(index).some((line) => line.includes(rule)),
      stdout,
    )
  })
}

for (const [index, [file, text]] of allowed.entries()) {
  void t.test(`${path.dirname(file)} may: ${text.split('\n')[0]?.slice(0, 60)}`, async (t) => {
    t.same(said(refused.length + index), [])
  })
}
