import { type Acl, type AclEntry, aclTags, encodeAcl, undefinedId } from '../../../server/filesystem/acl.ts'

const kinds = { u: [aclTags.owner, aclTags.user], g: [aclTags.owningGroup, aclTags.group] } as const

/** An ACL as setfacl has it, with numbers for names: `u::rwx,u:1000:r--,g::r-x,m::r--,o::---`. In any order, unchecked. */
export const aclOf = (text: string): Acl => text.split(',').map(entryOf)

function entryOf(text: string): AclEntry {
  const [kind = '', id = '', letters = ''] = text.split(':')
  const bits = rightsOf(letters)
  if (kind === 'm') return { tag: aclTags.mask, bits, id: undefinedId }
  if (kind === 'o') return { tag: aclTags.other, bits, id: undefinedId }
  if (kind !== 'u' && kind !== 'g') throw new Error(`"${text}" is no entry of an ACL`)
  return id === '' ? { tag: kinds[kind][0], bits, id: undefinedId } : { tag: kinds[kind][1], bits, id: Number(id) }
}

/** `rw-` and the like. */
export const rightsOf = (letters: string): number =>
  (letters.includes('r') ? 4 : 0) | (letters.includes('w') ? 2 : 0) | (letters.includes('x') ? 1 : 0)

export const aclValue = (text: string): Buffer => encodeAcl(aclOf(text))

const letter: Readonly<Record<number, string>> = { 1: 'u', 2: 'u', 4: 'g', 8: 'g', 16: 'm', 32: 'o' }

export function aclText(acl: Acl): string {
  const rights = (bits: number) => ['r', 'w', 'x'].map((name, at) => (bits & (4 >> at) ? name : '-')).join('')
  return acl.map(({ tag, bits, id }) => `${letter[tag]}:${id === undefinedId ? '' : id}:${rights(bits)}`).join(',')
}
