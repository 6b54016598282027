import type { Handlers, Stat, StatFs } from 'fuse-native'
import { errnos, FsError } from '../../proto/errno.ts'
import type { Attributes, Setattr, Space } from '../../proto/generated/file-service.ts'
import type { Log } from '../log.ts'
import type { OpenFiles } from './open-files.ts'
import type { Tree } from './tree.ts'

export interface HandlerParts {
  readonly tree: Tree
  readonly files: OpenFiles
  readonly log: Log
}

const flags = { accessMode: 0o3, append: 0o2000, readWrite: 0o2, create: 0o100 } as const
const entriesAtOnce = 1000
const unchangedId = 0xffff_ffff

/** libfuse's operations, which name files by path, as operations on the cluster's tree. */
export function handlersOf({ tree, files, log }: HandlerParts): Handlers {
  const run = async (work: Promise<void>, done: (error: number) => void): Promise<void> => {
    done((await outcomeOf(work, log)).error)
  }
  const give = async <T>(work: Promise<T>, answer: (error: number, value?: T) => void): Promise<void> => {
    const { error, value } = await outcomeOf(work, log)
    answer(error, value)
  }
  /** read and write give a count where others give an error. */
  const count = async (work: Promise<number>, answer: (countOrError: number) => void): Promise<void> => {
    const { error, value } = await outcomeOf(work, log)
    answer(value ?? error)
  }
  const removed = async (kind: 'unlink' | 'rmdir', path: string): Promise<void> => {
    await tree.call({ $case: kind, value: await tree.place(path) }, 'done')
  }
  const opened = async (path: string, how: number): Promise<number> => {
    const ino = await tree.ino(path)
    const value = { ino, flags: how & (flags.accessMode | flags.append), killPrivileges: false }
    await tree.call({ $case: 'open', value }, 'attributes')
    return files.open(ino, { append: (how & flags.append) !== 0 })
  }
  const synced = async (fd: number): Promise<void> => {
    await tree.call({ $case: 'fsync', value: { ino: files.find(fd).ino } }, 'done')
  }
  const close = async (fd: number): Promise<void> => files.close(fd)

  return {
    access: (path, mask, done) => void run(accessed(tree, path, mask), done),
    statfs: (_path, answer) => void give(space(tree), answer),
    getattr: (path, answer) => void give(tree.attributes(path).then(statOf), answer),
    fgetattr: (_path, fd, answer) => void give(stated(tree, files, fd), answer),
    flush: (_path, _fd, done) => done(0), // nothing is held back
    fsync: (_path, _datasync, fd, done) => void run(synced(fd), done),
    fsyncdir: (_path, _datasync, fd, done) => void run(synced(fd), done),
    readdir: (path, answer) => void give(listed(tree, path), (error, all) => answer(error, all?.names, all?.stats)),
    truncate: (path, size, done) => void run(truncated(tree, path, size), done),
    ftruncate: (_path, fd, size, done) => void run(resized(tree, files, fd, size), done),
    utimens: (path, atimeMs, mtimeMs, done) => void run(timed(tree, path, [atimeMs, mtimeMs]), done),
    readlink: (path, answer) => void give(target(tree, path), answer),
    chown: (path, uid, gid, done) => void run(owned(tree, path, [uid, gid]), done),
    chmod: (path, mode, done) => void run(modeSet(tree, path, mode), done),
    mknod: (path, mode, rdev, done) => void run(made(tree, path, { mode, rdev }), done),
    open: (path, how, answer) => void give(opened(path, how), answer),
    opendir: (path, how, answer) => void give(opened(path, how), answer),
    read: (_path, fd, buffer, length, offset, answer) =>
      void count(read(tree, files, { fd, buffer, length, offset }), answer),
    write: (_path, fd, buffer, length, offset, answer) =>
      void count(written(tree, files, { fd, buffer, length, offset }), answer),
    release: (_path, fd, done) => void run(close(fd), done),
    releasedir: (_path, fd, done) => void run(close(fd), done),
    create: (path, mode, answer) => void give(created(tree, files, path, mode), answer),
    unlink: (path, done) => void run(removed('unlink', path), done),
    rmdir: (path, done) => void run(removed('rmdir', path), done),
    rename: (path, to, done) => void run(renamed(tree, path, to), done),
    link: (path, to, done) => void run(linked(tree, path, to), done),
    symlink: (text, path, done) => void run(symlinked(tree, text, path), done),
    mkdir: (path, mode, done) => void run(madeDirectory(tree, path, mode), done),
  }
}

interface Transfer {
  readonly fd: number
  readonly buffer: Buffer
  readonly length: number
  readonly offset: number
}

interface Outcome<T> {
  /** 0, or a negative errno. */
  readonly error: number
  readonly value?: T
}

async function outcomeOf<T>(work: Promise<T>, log: Log): Promise<Outcome<T>> {
  try {
    return { error: 0, value: await work }
  } catch (error) {
    if (error instanceof FsError) return { error: -errnos[error.errno] }
    log.error('driver.bug', { stack: error instanceof Error ? error.stack : String(error) })
    return { error: -errnos.EIO }
  }
}

async function setattr(tree: Tree, ino: bigint, change: Partial<Setattr>): Promise<void> {
  const value = { ino, atime: undefined, mtime: undefined, openForWriting: false, killPrivileges: false, ...change }
  await tree.call({ $case: 'setattr', value }, 'attributes')
}

async function accessed(tree: Tree, path: string, mask: number): Promise<void> {
  await tree.call({ $case: 'access', value: { ino: await tree.ino(path), mask } }, 'done')
}

async function stated(tree: Tree, files: OpenFiles, fd: number): Promise<Stat> {
  return statOf(await tree.attributesOf(files.find(fd).ino))
}

async function truncated(tree: Tree, path: string, size: number): Promise<void> {
  await setattr(tree, await tree.ino(path), { size: BigInt(size) })
}

async function resized(tree: Tree, files: OpenFiles, fd: number, size: number): Promise<void> {
  await setattr(tree, files.find(fd).ino, { size: BigInt(size), openForWriting: true })
}

async function timed(tree: Tree, path: string, [atimeMs, mtimeMs]: readonly [number, number]): Promise<void> {
  const at = (ms: number) => ({ now: false, ns: BigInt(Math.round(ms)) * 1_000_000n })
  await setattr(tree, await tree.ino(path), { atime: at(atimeMs), mtime: at(mtimeMs) })
}

async function owned(tree: Tree, path: string, [uid, gid]: readonly [number, number]): Promise<void> {
  await setattr(tree, await tree.ino(path), {
    ...(uid === unchangedId ? {} : { uid }),
    ...(gid === unchangedId ? {} : { gid }),
  })
}

async function modeSet(tree: Tree, path: string, mode: number): Promise<void> {
  await setattr(tree, await tree.ino(path), { mode: mode & 0o7777 })
}

async function target(tree: Tree, path: string): Promise<string> {
  const { value } = await tree.call({ $case: 'readlink', value: { ino: await tree.ino(path) } }, 'data')
  return Buffer.from(value).toString()
}

/** The kernel has taken the umask off already. */
async function made(tree: Tree, path: string, what: { readonly mode: number; readonly rdev: number }): Promise<void> {
  await tree.call({ $case: 'mknod', value: { ...(await tree.place(path)), ...what, umask: 0 } }, 'entry')
}

async function madeDirectory(tree: Tree, path: string, mode: number): Promise<void> {
  await tree.call({ $case: 'mkdir', value: { ...(await tree.place(path)), mode, umask: 0 } }, 'entry')
}

async function created(tree: Tree, files: OpenFiles, path: string, mode: number): Promise<number> {
  const value = { ...(await tree.place(path)), mode, umask: 0, flags: flags.create | flags.readWrite }
  const { attributes } = (await tree.call({ $case: 'create', value }, 'entry')).value
  if (attributes === undefined) throw new FsError('EIO', 'an entry without attributes')
  return files.open(attributes.ino, { append: false })
}

async function symlinked(tree: Tree, text: string, path: string): Promise<void> {
  await tree.call({ $case: 'symlink', value: { ...(await tree.place(path)), target: Buffer.from(text) } }, 'entry')
}

async function linked(tree: Tree, path: string, to: string): Promise<void> {
  await tree.call({ $case: 'link', value: { ...(await tree.place(to)), ino: await tree.ino(path) } }, 'entry')
}

async function renamed(tree: Tree, path: string, to: string): Promise<void> {
  const [from, { parent: newParent, name: newName }] = [await tree.place(path), await tree.place(to)]
  await tree.call({ $case: 'rename', value: { ...from, newParent, newName, flags: 0 } }, 'done')
}

interface Listed {
  readonly names: string[]
  readonly stats: Pick<Stat, 'ino' | 'mode'>[]
}

async function listed(tree: Tree, path: string): Promise<Listed> {
  const ino = await tree.ino(path)
  const names: string[] = []
  const stats: Pick<Stat, 'ino' | 'mode'>[] = []
  const add = (name: string, entryIno: bigint, type: number): void => {
    names.push(name)
    stats.push({ ino: ino32(entryIno), mode: type << 12 })
  }
  for (let cookie = 0n, end = false; !end; ) {
    const value = { ino, cookie, count: entriesAtOnce, attributes: false }
    const part = (await tree.call({ $case: 'readdir', value }, 'listing')).value
    for (const entry of part.entries) add(Buffer.from(entry.name).toString(), entry.ino, entry.type)
    cookie = part.entries.at(-1)?.cookie ?? 0n
    end = part.end || part.entries.length === 0
  }
  return { names, stats }
}

async function read(tree: Tree, files: OpenFiles, { fd, buffer, length, offset }: Transfer): Promise<number> {
  const value = { ino: files.find(fd).ino, offset: BigInt(offset), length }
  const { value: data } = await tree.call({ $case: 'read', value }, 'data')
  buffer.set(data)
  return data.length
}

async function written(tree: Tree, files: OpenFiles, { fd, buffer, length, offset }: Transfer): Promise<number> {
  const { ino, append } = files.find(fd)
  // libfuse uses the buffer again as soon as it has the answer; a retry must not send other bytes.
  const data = Buffer.from(buffer.subarray(0, length))
  const value = { ino, offset: BigInt(offset), data, append, killPrivileges: true }
  return (await tree.call({ $case: 'write', value }, 'written')).value.length
}

async function space(tree: Tree): Promise<StatFs> {
  const { value } = await tree.call({ $case: 'statfs', value: {} }, 'space')
  return statFsOf(value)
}

const ms = (ns: bigint): number => Number(ns / 1_000_000n)

function statOf(attributes: Attributes): Stat {
  const { ino, mode, nlink, uid, gid, rdev, size, blocks, atimeNs, mtimeNs, ctimeNs } = attributes
  return {
    mode,
    uid,
    gid,
    nlink,
    size: Number(size),
    ino: ino32(ino),
    dev: 0,
    rdev: Number(rdev),
    blksize: 4096,
    blocks: Number(blocks),
    atime: ms(atimeNs),
    mtime: ms(mtimeNs),
    ctime: ms(ctimeNs),
  }
}

/** Our numbers have 64 bits, the package's 32: two files may look like one, once in some 2^32 pairs. */
function ino32(ino: bigint): number {
  return Number(BigInt.asUintN(32, ino + (ino >> 32n) * 0x9e37_79b1n))
}

/** Counts have 32 bits here: blocks are made bigger until they fit. */
export function statFsOf({ blockSize, blocks, free, available, files, filesFree, nameMax }: Space): StatFs {
  let unit = 1n
  while (blocks / unit > 0xffff_ffffn) unit *= 2n
  const inUnits = (count: bigint): number => Number(count / unit)
  const capped = (count: bigint): number => Number(count > 0xffff_ffffn ? 0xffff_ffffn : count)
  const size = Number(blockSize * unit)
  return {
    bsize: size,
    frsize: size,
    blocks: inUnits(blocks),
    bfree: inUnits(free),
    bavail: inUnits(available),
    files: capped(files),
    ffree: capped(filesFree),
    favail: capped(filesFree),
    namemax: nameMax,
  }
}
