import { xattrsKey } from '../store/keys.ts'
import { decodeXattrs, encodeXattrs, type Xattr } from '../store/records.ts'
import { type Acl, decodeAcl, encodeAcl } from './acl.ts'
import type { Draft } from './draft.ts'
import type { View } from './view.ts'

/** All of an inode's attributes stand in one record, whatever their namespaces. */

export const accessAclName = 'system.posix_acl_access'
export const defaultAclName = 'system.posix_acl_default'
export type AclName = typeof accessAclName | typeof defaultAclName
export const capabilityName = 'security.capability'

export function loadXattrs(view: View, ino: bigint): readonly Xattr[] {
  const record = view.get(xattrsKey(ino))
  return record === undefined ? [] : decodeXattrs(record)
}

export function saveXattrs(draft: Draft, ino: bigint, xattrs: readonly Xattr[]): void {
  if (xattrs.length === 0) draft.delete(xattrsKey(ino))
  else draft.put(xattrsKey(ino), encodeXattrs(xattrs))
}

export const indexOf = (xattrs: readonly Xattr[], name: Uint8Array): number =>
  xattrs.findIndex((xattr) => Buffer.compare(xattr.name, name) === 0)

/** With the attribute in its old place, or last if it is new. */
export function withXattr(xattrs: readonly Xattr[], one: Xattr): readonly Xattr[] {
  const index = indexOf(xattrs, one.name)
  return index < 0 ? [...xattrs, one] : xattrs.with(index, one)
}

export function withoutXattr(xattrs: readonly Xattr[], name: Uint8Array): readonly Xattr[] {
  const index = indexOf(xattrs, name)
  return index < 0 ? xattrs : xattrs.toSpliced(index, 1)
}

/** An ACL that was checked when it was set. */
export function loadAcl(view: View, ino: bigint, name: AclName): Acl | undefined {
  const xattrs = loadXattrs(view, ino)
  const found = xattrs.length === 0 ? undefined : xattrs[indexOf(xattrs, Buffer.from(name))]
  return found === undefined ? undefined : decodeAcl(found.value)
}

export const aclXattr = (name: AclName, acl: Acl): Xattr => ({
  name: Buffer.from(name),
  value: encodeAcl(acl),
})
