#!/usr/bin/env node
// The `banyan` command. In a checkout that was never set up it does that first.
import { existsSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { prepare, reasonToInstall, SetupError, thisAbi } from './setup.mjs'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..')
const program = path.join(root, 'build', 'cli', 'banyan.js')

try {
  if (!existsSync(program) || reasonToInstall(root, thisAbi()) !== undefined) prepare(root)
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  process.stderr.write(`banyan: ${error.message}\n`)
  process.exit(1)
}
const { main } = await import(program)
process.exit(await main(process.argv.slice(2)))
