import { createHash } from 'node:crypto'
import { chmodSync, lstatSync, mkdirSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { codeOf, Failure } from './failure.ts'
import { volumeName } from './volume.ts'

/** sun_path of Linux, with its NUL (unix(7)). */
const socketPathMax = 107
/** The longest name below run/: a node's, with room for an ending. */
const socketNameMax = 'node-with-a-name.sock'.length

/** Where one cluster's part on this machine keeps everything. Same folder, same cluster. */
export interface StateFolder {
  readonly root: string
  /** Of `root`, for names elsewhere: the same folder, the same hash. */
  readonly hash: string
  /** Sockets and the like, 0700. Not always below `root`: paths of sockets must be short. */
  readonly run: string
  readonly settingsFile: string
  readonly directory: string
  /** Of a node's copy of a volume. */
  store(node: string, volume: string): string
  log(name: string): string
  socket(name: string): string
}

export const defaultStateFolder = path.join(os.homedir(), '.banyan')

/** Names the places; makes none. */
export function stateFolder(given: string): StateFolder {
  const root = path.resolve(given)
  const below = path.join(root, 'run')
  const fits = Buffer.byteLength(below) + 1 + socketNameMax <= socketPathMax
  const hash = createHash('sha256').update(root).digest('hex').slice(0, 16)
  const run = fits ? below : path.join(os.tmpdir(), `banyan-${hash}`)
  return {
    root,
    hash,
    run,
    settingsFile: path.join(root, 'config.toml'),
    directory: path.join(root, 'directory'),
    store: (node, volume) => path.join(root, volume === volumeName ? node : `${node}@${volume}`),
    log: (name) => path.join(root, 'log', `${name}.log`),
    socket: (name) => path.join(run, `${name}.sock`),
  }
}

/** Makes what is missing, open to its owner only. @throws Failure */
export function prepareStateFolder(state: StateFolder): void {
  for (const folder of [state.root, state.run, path.dirname(state.log('x'))]) {
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
    } catch (error) {
      throw new Failure(`cannot make the state folder ${folder}: ${codeOf(error)}`, {
        meaning: 'Nothing was started',
        remedy: 'Choose another one with --state DIR',
        cause: error,
      })
    }
  }
  const stats = lstatSync(state.run)
  if (!stats.isDirectory() || stats.uid !== process.getuid?.()) {
    throw new Failure(`${state.run} belongs to somebody else`, {
      meaning: 'Whoever owns it could pose as a file server, so nothing was started',
      remedy: 'Remove it, or choose another --state DIR',
    })
  }
  chmodSync(state.run, 0o700)
}
