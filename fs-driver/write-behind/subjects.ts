import { routeOf } from '../../proto/route.ts'
import { textOf } from '../names.ts'
import type { FileCall, FileResult } from '../router/file-client.ts'

// What calls and their results are about, as far as it matters to what is held back. Pure.

/** What must not be seen before what was written earlier, whatever names are about: after a crash either both are there or none. */
export function isAboutNames(call: FileCall): boolean {
  if (call.$case === 'rename' || call.$case === 'link') return true
  return call.$case === 'create' && (call.value.flags & openExclusive) === 0
}

const openExclusive = 0o200 // O_EXCL of Linux

export type Makes = Extract<FileCall, { $case: 'create' | 'mkdir' | 'mknod' | 'symlink' }>

export const makes = (call: FileCall): call is Makes => makesHere(call) || call.$case === 'mknod'

/** Of those: what can be made here, ahead of the servers. */
export type MakesHere = Extract<FileCall, { $case: 'create' | 'mkdir' | 'symlink' }>

export const makesHere = (call: FileCall): call is MakesHere =>
  call.$case === 'create' || call.$case === 'mkdir' || call.$case === 'symlink'

export type Removes = Extract<FileCall, { $case: 'unlink' | 'rmdir' | 'rename' }>

/** It takes names away, or leads them elsewhere. */
export const removes = (call: FileCall): call is Removes =>
  call.$case === 'unlink' || call.$case === 'rmdir' || call.$case === 'rename'

/** It may take away what is known here by its number only, or what is in it. */
export const takesAway = ({ $case }: FileCall): boolean => $case === 'unlink' || $case === 'rmdir'

/** Names that a change may make, take away or lead elsewhere; without one: the directory itself is changed. */
export function namesOf(call: FileCall): readonly { readonly dir: bigint; readonly name: string | undefined }[] {
  if (routeOf(call) !== 'change' || call.$case === 'batch' || call.$case === 'takeHold') return []
  if (call.$case === 'rename') {
    const { name, newName, newParent, parent } = call.value
    return [
      { dir: parent, name: textOf(name) },
      { dir: newParent, name: textOf(newName) },
    ]
  }
  if ('parent' in call.value && 'name' in call.value) return [{ dir: call.value.parent, name: textOf(call.value.name) }]
  return call.$case === 'setattr' || call.$case === 'setxattr' || call.$case === 'removexattr'
    ? [{ dir: call.value.ino, name: undefined }]
    : []
}

/** What is made in the directory may depend on it from then on. */
export const endsPlainness = (call: FileCall): call is Extract<FileCall, { $case: 'setattr' | 'setxattr' }> =>
  call.$case === 'setxattr' || (call.$case === 'setattr' && call.value.flags !== undefined)

export const parentsOf = (call: FileCall): readonly bigint[] =>
  'newParent' in call.value
    ? [call.value.parent, call.value.newParent]
    : 'parent' in call.value
      ? [call.value.parent]
      : []

/** Files that the call is about, and whose contents, size or times it shows or depends on. */
export function inosOf(call: FileCall): readonly bigint[] {
  if (call.$case === 'copyRange') return [call.value.ino, call.value.source]
  return 'ino' in call.value && call.$case !== 'access' ? [call.value.ino] : []
}

export function inosIn(result: FileResult): bigint[] {
  if (result.$case === 'listing') return result.value.entries.flatMap(({ attributes }) => attributes?.ino ?? [])
  if (result.$case !== 'entry' || result.value.attributes === undefined) return []
  return [result.value.attributes.ino]
}
