/** A list as setfacl would take it: `u::rwx,u:1000:r--,g::r-x,m::rwx,o::---`; numbers instead of letters. */
export interface ModelAcl {
  owner: number
  group: number
  other: number
  /** There exactly if anybody is named, or if it was given. */
  mask: number | undefined
  readonly users: Map<number, number>
  readonly groups: Map<number, number>
}

const nobody = 0xffffffff

/** The value of the attribute; the name of an errno if it is none; undefined if it takes the list away. */
export function readAcl(value: Buffer): ModelAcl | string | undefined {
  if (value.length < 4) return 'EINVAL'
  if (value.readUInt32LE(0) !== 2) return 'EOPNOTSUPP'
  if (value.length % 8 !== 4) return 'EINVAL'
  if (value.length === 4) return undefined
  const entries = Array.from({ length: (value.length - 4) / 8 }, (_, index) => {
    const at = 4 + 8 * index
    return { tag: value.readUInt16LE(at), bits: value.readUInt16LE(at + 2), id: value.readUInt32LE(at + 4) }
  })
  const kinds = entries.map(({ tag }) => ({ 1: 'u', 2: 'U', 4: 'g', 8: 'G', 16: 'm', 32: 'o' })[tag] ?? '?').join('')
  if (!/^u(U*gG*mo|go)$/.test(kinds) || entries.some(({ bits }) => bits > 7)) return 'EINVAL'
  if (entries.some(({ tag, id }) => (tag === 2 || tag === 8) && id === nobody)) return 'EINVAL'
  const one = (tag: number) => entries.find((entry) => entry.tag === tag)?.bits
  const named = (tag: number) =>
    new Map(entries.flatMap((entry) => (entry.tag === tag ? [[entry.id, entry.bits] as const] : [])))
  return {
    owner: one(1) ?? 0,
    group: one(4) ?? 0,
    other: one(32) ?? 0,
    mask: one(16),
    users: named(2),
    groups: named(8),
  }
}

export function writeAcl({ owner, group, other, mask, users, groups }: ModelAcl): string {
  const entry = (tag: number, bits: number, id = nobody) => {
    const bytes = Buffer.alloc(8)
    bytes.writeUInt16LE(tag, 0)
    bytes.writeUInt16LE(bits, 2)
    bytes.writeUInt32LE(id, 4)
    return bytes
  }
  const many = (tag: number, map: Map<number, number>) => [...map].map(([id, bits]) => entry(tag, bits, id))
  const last = [...(mask === undefined ? [] : [entry(16, mask)]), entry(32, other)]
  const all = [entry(1, owner), ...many(2, users), entry(4, group), ...many(8, groups), ...last]
  return Buffer.concat([Buffer.from([2, 0, 0, 0]), ...all]).toString('latin1')
}

/** The nine bits that `ls` shows. */
export const aclPerm = ({ owner, group, other, mask }: ModelAcl): number => owner * 64 + (mask ?? group) * 8 + other

export const isPlain = ({ mask, users, groups }: ModelAcl): boolean =>
  mask === undefined && users.size === 0 && groups.size === 0

/** With other nine bits: only a list without a mask changes its group's own. */
export function withPerm(acl: ModelAcl, perm: number): ModelAcl {
  const middle = (perm >> 3) & 7
  const group = acl.mask === undefined ? { group: middle } : { mask: middle }
  return { ...acl, owner: (perm >> 6) & 7, other: perm & 7, ...group }
}

/** The digit that counts for somebody who is not the owner. `what` is wanted: it decides between groups. */
export function digitOf(acl: ModelAcl, who: { uid: number; groups: number[] }, gid: number, what: number): number {
  const user = acl.users.get(who.uid)
  const mask = acl.mask ?? 7
  if (user !== undefined) return user & mask
  const mine = [...(who.groups.includes(gid) ? [acl.group] : [])]
  for (const [id, bits] of acl.groups) if (who.groups.includes(id)) mine.push(bits)
  if (mine.length === 0) return acl.other
  return (mine.find((bits) => (bits & what) === what) ?? 0) & mask
}

export const aclKind = (name: string): 'access' | 'default' | undefined =>
  name === 'system.posix_acl_access' ? 'access' : name === 'system.posix_acl_default' ? 'default' : undefined
