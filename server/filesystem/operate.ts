import type { Caller, Operation } from '../../proto/generated/file-service.ts'
import { access } from './access.ts'
import { batch } from './batch.ts'
import { copyRange } from './copy-range.ts'
import { create } from './create.ts'
import { fallocate } from './fallocate.ts'
import { fsync } from './fsync.ts'
import { getattr } from './getattr.ts'
import { getxattr } from './getxattr.ts'
import { awaitRelease, releaseHolds, takeDirectoryHold, takeNumbers } from './holds.ts'
import { link } from './link.ts'
import { listxattr } from './listxattr.ts'
import { awaitLock, getLock, lock, releaseLocks, unlock } from './locks.ts'
import { lookup } from './lookup.ts'
import { lseek } from './lseek.ts'
import { mkdir } from './mkdir.ts'
import { mknod } from './mknod.ts'
import { noteReads } from './note-reads.ts'
import { open, truncates } from './open.ts'
import type { At, Outcome } from './outcome.ts'
import { read } from './read.ts'
import { readdir } from './readdir.ts'
import { readlink } from './readlink.ts'
import { removexattr } from './removexattr.ts'
import { rename } from './rename.ts'
import { rmdir } from './rmdir.ts'
import { setattr } from './setattr.ts'
import { setxattr } from './setxattr.ts'
import { statfs } from './statfs.ts'
import { symlink } from './symlink.ts'
import { tmpfile } from './tmpfile.ts'
import { unlink } from './unlink.ts'
import type { View } from './view.ts'
import { write } from './write.ts'

export type AnyOperation = NonNullable<Operation['kind']>

/**
 * Executes one file operation on a volume as `view` shows it, for `caller`: says what is answered and what is to change.
 * Changes nothing itself, and never waits. Effects may share memory with the operation.
 *
 * @throws FsError what POSIX foresees; DamagedRecord if a value it needs is damaged
 */
export function operate(view: View, caller: Caller, op: AnyOperation, at: At): Outcome {
  if (isOfSession(op)) return operateForSession(view, caller, op, at)
  switch (op.$case) {
    case 'lookup':
      return lookup(view, caller, op.value)
    case 'getattr':
      return getattr(view, caller, op.value)
    case 'setattr':
      return setattr(view, caller, op.value, at)
    case 'readlink':
      return readlink(view, caller, op.value)
    case 'symlink':
      return symlink(view, caller, op.value, at)
    case 'mknod':
      return mknod(view, caller, op.value, at)
    case 'mkdir':
      return mkdir(view, caller, op.value, at)
    case 'unlink':
      return unlink(view, caller, op.value, at)
    case 'rmdir':
      return rmdir(view, caller, op.value, at)
    case 'rename':
      return rename(view, caller, op.value, at)
    case 'link':
      return link(view, caller, op.value, at)
    case 'open':
      return open(view, caller, op.value, at)
    case 'create':
      return create(view, caller, op.value, at)
    case 'read':
      return read(view, caller, op.value)
    case 'write':
      return write(view, caller, op.value, at)
    case 'fsync':
      return fsync(view, caller, op.value)
    case 'readdir':
      return readdir(view, caller, op.value)
    case 'statfs':
      return statfs(view, caller, op.value)
    case 'access':
      return access(view, caller, op.value)
    case 'getxattr':
      return getxattr(view, caller, op.value)
    case 'setxattr':
      return setxattr(view, caller, op.value, at)
    case 'listxattr':
      return listxattr(view, caller, op.value)
    case 'removexattr':
      return removexattr(view, caller, op.value, at)
    case 'tmpfile':
      return tmpfile(view, caller, op.value, at)
    case 'lseek':
      return lseek(view, caller, op.value)
    case 'fallocate':
      return fallocate(view, caller, op.value, at)
    case 'copyRange':
      return copyRange(view, caller, op.value, at)
    case 'noteReads':
      return noteReads(view, caller, op.value, at)
  }
}

type OfSession = Extract<
  AnyOperation,
  {
    $case:
      | 'lock'
      | 'unlock'
      | 'releaseLocks'
      | 'getLock'
      | 'awaitLock'
      | 'releaseHolds'
      | 'awaitRelease'
      | 'takeHold'
      | 'takeNumbers'
      | 'batch'
  }
>

const ofSession: Readonly<Record<OfSession['$case'], true>> = {
  lock: true,
  unlock: true,
  releaseLocks: true,
  getLock: true,
  awaitLock: true,
  releaseHolds: true,
  awaitRelease: true,
  takeHold: true,
  takeNumbers: true,
  batch: true,
}
const isOfSession = (op: AnyOperation): op is OfSession => Object.hasOwn(ofSession, op.$case)

/** What belongs to a session: its locks and holds, and what it held back under them. */
function operateForSession(view: View, caller: Caller, op: OfSession, at: At): Outcome {
  switch (op.$case) {
    case 'lock':
      return lock(view, caller, op.value, at)
    case 'unlock':
      return unlock(view, caller, op.value, at)
    case 'releaseLocks':
      return releaseLocks(view, caller, op.value, at)
    case 'getLock':
      return getLock(view, caller, op.value, at)
    case 'awaitLock':
      return awaitLock(view, caller, op.value, at)
    case 'releaseHolds':
      return releaseHolds(view, caller, op.value, at)
    case 'awaitRelease':
      return awaitRelease(view, caller, op.value, at)
    case 'takeHold':
      return takeDirectoryHold(view, caller, op.value, at)
    case 'takeNumbers':
      return takeNumbers(view, caller, op.value)
    case 'batch':
      return batch(view, op.value, at)
  }
}

const changes: Readonly<Record<AnyOperation['$case'], boolean>> = {
  lookup: false,
  getattr: false,
  setattr: true,
  readlink: false,
  symlink: true,
  mknod: true,
  mkdir: true,
  unlink: true,
  rmdir: true,
  rename: true,
  link: true,
  open: false,
  create: true,
  read: false,
  write: true,
  fsync: false,
  readdir: false,
  statfs: false,
  access: false,
  getxattr: false,
  setxattr: true,
  listxattr: false,
  removexattr: true,
  lock: true,
  unlock: true,
  releaseLocks: true,
  getLock: false,
  awaitLock: false,
  releaseHolds: true,
  awaitRelease: false,
  takeHold: true,
  takeNumbers: true,
  batch: true,
  tmpfile: true,
  lseek: false,
  fallocate: true,
  copyRange: true,
  noteReads: true,
}

/** May it have effects, so that it is the primary's to execute? An open is a change if it empties the file. */
export const isChange = (op: AnyOperation): boolean =>
  op.$case === 'open' ? truncates(op.value.flags) : changes[op.$case]
