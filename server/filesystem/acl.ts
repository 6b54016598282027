import { FsError } from '../../proto/errno.ts'
import type { Caller } from '../../proto/generated/file-service.ts'

/**
 * Access control lists of POSIX 1003.1e, draft 17, as Linux has them. Source: acl(5); fs/posix_acl.c;
 * include/uapi/linux/posix_acl.h and posix_acl_xattr.h.
 */

/** What an entry is for. Entries stand in the order of these numbers. */
export const aclTags = { owner: 0x01, user: 0x02, owningGroup: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const

export interface AclEntry {
  /** One of `aclTags`. */
  readonly tag: number
  /** Of rwx: 4, 2, 1. */
  readonly bits: number
  /** uid of a user, gid of a group; of others `undefinedId`. */
  readonly id: number
}

/** One each of owner, owning group and other; any users and groups; a mask if there are users or groups. */
export type Acl = readonly AclEntry[]

export const undefinedId = 0xffff_ffff

const version = 2
const headerBytes = 4
const entryBytes = 8

/**
 * The value of `system.posix_acl_access` or `_default`. Without any entry it is the empty list, which takes an ACL away.
 *
 * @throws FsError EINVAL, EOPNOTSUPP (another version)
 */
export function decodeAcl(value: Uint8Array): Acl {
  const invalid = (reason: string) => new FsError('EINVAL', reason, { length: value.length })
  if (value.length < headerBytes) throw invalid('an ACL without a header')
  const view = new DataView(value.buffer, value.byteOffset, value.length)
  if (view.getUint32(0, true) !== version) throw new FsError('EOPNOTSUPP', 'an ACL of another version')
  if ((value.length - headerBytes) % entryBytes !== 0) throw invalid('an ACL is cut short')
  const acl: AclEntry[] = []
  for (let at = headerBytes; at < value.length; at += entryBytes) {
    const tag = view.getUint16(at, true)
    const named = tag === aclTags.user || tag === aclTags.group
    acl.push({ tag, bits: view.getUint16(at + 2, true), id: named ? view.getUint32(at + 4, true) : undefinedId })
  }
  const wrong = acl.length === 0 ? undefined : fault(acl)
  if (wrong !== undefined) throw invalid(wrong)
  return acl
}

const once: readonly number[] = [aclTags.owner, aclTags.owningGroup, aclTags.mask, aclTags.other]

/** What is wrong with it; undefined: nothing. Source: posix_acl_valid. */
function fault(acl: Acl): string | undefined {
  const tags = acl.map(({ tag }) => tag)
  for (const [index, { tag, bits, id }] of acl.entries()) {
    if (!Object.values<number>(aclTags).includes(tag)) return 'an ACL has an entry of unknown kind'
    if (bits > 7) return 'an entry of an ACL allows what there is not'
    const before = tags[index - 1] ?? 0
    if (tag < before || (tag === before && once.includes(tag))) return 'entries of an ACL are out of order, or twice'
    if (!once.includes(tag) && id === undefinedId) return 'an entry of an ACL names nobody'
  }
  const missing = [aclTags.owner, aclTags.owningGroup, aclTags.other].some((tag) => !tags.includes(tag))
  if (missing) return 'an ACL lacks the owner, the group or the others'
  const named = tags.includes(aclTags.user) || tags.includes(aclTags.group)
  return named && !tags.includes(aclTags.mask) ? 'an ACL names users or groups but has no mask' : undefined
}

export function encodeAcl(acl: Acl): Buffer {
  const value = Buffer.alloc(headerBytes + acl.length * entryBytes)
  value.writeUInt32LE(version, 0)
  for (const [index, { tag, bits, id }] of acl.entries()) {
    const at = headerBytes + index * entryBytes
    value.writeUInt16LE(tag, at)
    value.writeUInt16LE(bits, at + 2)
    value.writeUInt32LE(id, at + 4)
  }
  return value
}

const bitsOf = (acl: Acl, tag: number): number | undefined => acl.find((entry) => entry.tag === tag)?.bits

/** The nine permission bits that say the same, or as nearly as they can: the group's are the mask. */
export function modeOfAcl(acl: Acl): number {
  const group = bitsOf(acl, aclTags.mask) ?? bitsOf(acl, aclTags.owningGroup) ?? 0
  return ((bitsOf(acl, aclTags.owner) ?? 0) << 6) | (group << 3) | (bitsOf(acl, aclTags.other) ?? 0)
}

/** Do the permission bits say all that the ACL says? Then it need not be kept. */
export const isMinimal = (acl: Acl): boolean => acl.every(({ tag }) => tag !== aclTags.mask && isUnnamed(tag))
const isUnnamed = (tag: number): boolean => tag !== aclTags.user && tag !== aclTags.group

/** The three entries that the permission bits stand for become `change` of what they are and what the bits say. */
function throughBits(acl: Acl, mode: number, change: (old: number, bits: number) => number): Acl {
  const groupClass = acl.some(({ tag }) => tag === aclTags.mask) ? aclTags.mask : aclTags.owningGroup
  const shifts = new Map<number, number>([
    [aclTags.owner, 6],
    [groupClass, 3],
    [aclTags.other, 0],
  ])
  return acl.map((entry) => {
    const shift = shifts.get(entry.tag)
    return shift === undefined ? entry : { ...entry, bits: change(entry.bits, (mode >>> shift) & 7) }
  })
}

/** The ACL after a chmod: with a mask, the group's bits become the mask. */
export const aclAfterChmod = (acl: Acl, mode: number): Acl => throughBits(acl, mode, (_old, bits) => bits)

/** The ACL that what is made with `mode` has, in a directory with this default ACL: nothing beyond the mode. */
export const inheritedAcl = (defaults: Acl, mode: number): Acl => throughBits(defaults, mode, (old, bits) => old & bits)

/**
 * May a caller who is not the owner do all of `wanted`? A user's own entry decides alone; of the groups, any that allows
 * it all; only who is in none of them is another. Source: posix_acl_permission.
 */
export function aclPermits(acl: Acl, gid: number, caller: Caller, wanted: number): boolean {
  const allows = (bits: number) => (bits & wanted) === wanted
  const mask = bitsOf(acl, aclTags.mask) ?? 7
  const user = acl.find(({ tag, id }) => tag === aclTags.user && id === caller.uid)
  if (user !== undefined) return allows(user.bits & mask)
  const isMember = (group: number) => caller.gid === group || caller.groups.includes(group)
  const groups = acl.filter(
    ({ tag, id }) => (tag === aclTags.owningGroup && isMember(gid)) || (tag === aclTags.group && isMember(id)),
  )
  if (groups.length > 0) return groups.some(({ bits }) => allows(bits & mask))
  return allows(bitsOf(acl, aclTags.other) ?? 0)
}
