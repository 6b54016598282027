import type { Caller } from '../../proto/generated/file-service.ts'
import type { Draft } from './draft.ts'
import type { Node } from './inode.ts'
import { isRoot, withoutPrivileges } from './permission.ts'
import { capabilityName, loadXattrs, saveXattrs, withoutXattr } from './xattr-record.ts'

/**
 * What its contents' change leaves of the privileges that a file gives to who executes it: no capabilities, and unless
 * root makes the change, no set-uid and set-gid. Says the mode; `kill` is the driver's wish that it be so (KILLPRIV_V2).
 * Source: fs/inode.c, file_remove_privs; security/commoncap.c, cap_inode_need_killpriv.
 */
export function modeAfterWrite(draft: Draft, { ino, inode }: Node, caller: Caller, kill: boolean): number {
  dropCapabilities(draft, ino)
  return kill || !isRoot(caller) ? withoutPrivileges(inode, caller) : inode.mode
}

/** File capabilities end with a change of contents or owner, whoever makes it. Says whether there were any. */
export function dropCapabilities(draft: Draft, ino: bigint): boolean {
  const old = loadXattrs(draft, ino)
  if (old.length === 0) return false
  const rest = withoutXattr(old, Buffer.from(capabilityName))
  if (rest.length === old.length) return false
  saveXattrs(draft, ino, rest)
  return true
}
