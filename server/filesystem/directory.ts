import { FsError } from '../../proto/errno.ts'
import type { Caller } from '../../proto/generated/file-service.ts'
import { dentriesKey, nameHash } from '../store/keys.ts'
import { type Dentry, decodeDentries, dentriesMax, encodeDentries } from '../store/records.ts'
import type { Draft } from './draft.ts'
import { changeInode, loadInode, type Node } from './inode.ts'
import { isDirectory, mayExecute } from './mode.ts'
import { demand } from './permission.ts'
import type { View } from './view.ts'

export type Directory = Node

/** @throws FsError ESTALE, ENOTDIR, EACCES (no search permission) */
export function searchable(view: View, caller: Caller, ino: bigint): Directory {
  const inode = loadInode(view, ino)
  if (!isDirectory(inode)) throw new FsError('ENOTDIR', 'it is not a directory', { ino })
  const directory = { ino, inode }
  demand(view, directory, caller, mayExecute)
  return directory
}

/** A removed directory that somebody still has open takes no new names. @throws FsError ENOENT */
export function demandAlive(directory: Directory): void {
  if (directory.inode.nlink === 0) throw new FsError('ENOENT', 'the directory was removed', { ino: directory.ino })
}

export function findName(view: View, parent: bigint, name: Uint8Array): Dentry | undefined {
  return namesAt(view, parent, nameHash(name)).find((dentry) => same(dentry.name, name))
}

/** @throws FsError ENOENT */
export function demandName(view: View, parent: bigint, name: Uint8Array): Dentry {
  const dentry = findName(view, parent, name)
  if (dentry === undefined) throw new FsError('ENOENT', 'there is no such name', { parent })
  return dentry
}

/**
 * Gives the directory a name that it does not have, in the lowest free slot of its hash.
 *
 * @throws FsError ENOSPC: too many names with this hash
 */
export function addName(draft: Draft, parent: bigint, name: Uint8Array, child: Pick<Dentry, 'ino' | 'type'>): void {
  const hash = nameHash(name)
  const names = namesAt(draft, parent, hash)
  if (names.length >= dentriesMax) throw new FsError('ENOSPC', 'too many names of one hash', { parent })
  const taken = names.findIndex((dentry, index) => dentry.slot !== index)
  const slot = taken < 0 ? names.length : taken
  const { ino, type } = child
  draft.put(dentriesKey(parent, hash), encodeDentries(names.toSpliced(slot, 0, { slot, ino, type, name })))
}

export function removeName(draft: Draft, parent: bigint, name: Uint8Array): void {
  const hash = nameHash(name)
  const rest = namesAt(draft, parent, hash).filter((dentry) => !same(dentry.name, name))
  if (rest.length === 0) draft.delete(dentriesKey(parent, hash))
  else draft.put(dentriesKey(parent, hash), encodeDentries(rest))
}

/** Lets a name that is there lead elsewhere. It keeps its place in listings. */
export function replaceName(draft: Draft, parent: bigint, name: Uint8Array, child: Pick<Dentry, 'ino' | 'type'>): void {
  const hash = nameHash(name)
  const names = namesAt(draft, parent, hash).map((dentry) =>
    same(dentry.name, name) ? { ...dentry, ino: child.ino, type: child.type } : dentry,
  )
  draft.put(dentriesKey(parent, hash), encodeDentries(names))
}

/** Counts names and subdirectories that came (or, negative, went), and notes the time. */
export function changeDirectory(
  draft: Draft,
  ino: bigint,
  came: { readonly names: number; readonly directories: number; readonly nowNs: bigint },
): void {
  const inode = loadInode(draft, ino)
  changeInode(draft, ino, inode, {
    entries: inode.entries + came.names,
    nlink: inode.nlink + came.directories,
    mtimeNs: came.nowNs,
    ctimeNs: came.nowNs,
  })
}

function namesAt(view: View, parent: bigint, hash: number): readonly Dentry[] {
  const value = view.get(dentriesKey(parent, hash))
  return value === undefined ? [] : decodeDentries(value)
}

const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && Buffer.compare(a, b) === 0
