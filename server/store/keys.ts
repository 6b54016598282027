import { type Key, key } from '../../proto/ids.ts'

/**
 * Keys of a volume's replicated state. The first byte says what it is; numbers are big-endian, so that keys sort as the
 * numbers do. All of them stand between `replicatedFrom` and `replicatedTo`; a member's own keys must stand outside.
 *
 * | key | value (records.ts) |
 * |---|---|
 * | `i` ino | the inode |
 * | `c` ino | contents of a small file; absent when it is empty or has a blob |
 * | `x` ino | all extended attributes of the inode; absent when there are none |
 * | `l` ino | all locks on the inode; absent when there are none |
 * | `o` ino | an orphan: an inode without a name that may still be open somewhere |
 * | `h` ino | the holes of the file's blob; absent when there are none |
 * | `d` parent, hash of the name | the names of a directory that have this hash: nearly always one |
 * | `n` name | a counter |
 * | `s` session | a session |
 * | `p` session | where the session may have leases |
 * | `w` ino | the hold on the file: who may answer writes to it; absent when nobody may |
 * | `r` session, slot (4 bytes) | the last reply of a slot |
 */
export const prefixes = {
  contents: key('c'),
  dentries: key('d'),
  hold: key('w'),
  holes: key('h'),
  inode: key('i'),
  locks: key('l'),
  counter: key('n'),
  orphan: key('o'),
  place: key('p'),
  reply: key('r'),
  session: key('s'),
  xattrs: key('x'),
} as const

/** Every replicated key is in [replicatedFrom, replicatedTo). */
export const replicatedFrom = key('a')
export const replicatedTo = key('{')

/** Name hashes are in [1, nameHashMax], so that a hash is a safe integer and a cookie has room for a slot below it. */
export const nameHashMax = 2 ** 53 - 1

export const inodeKey = (ino: bigint): Key => numbered(0x69, ino)
export const contentsKey = (ino: bigint): Key => numbered(0x63, ino)
export const xattrsKey = (ino: bigint): Key => numbered(0x78, ino)
export const locksKey = (ino: bigint): Key => numbered(0x6c, ino)
export const holesKey = (ino: bigint): Key => numbered(0x68, ino)
export const holdKey = (ino: bigint): Key => numbered(0x77, ino)
/** Of the inode that an inode's key names. */
export const holdKeyOf = (inode: Key): Key => key(prefixes.hold + inode.slice(1))
export const orphanKey = (ino: bigint): Key => numbered(0x6f, ino)
export const placeKey = (session: bigint): Key => numbered(0x70, session)
export const sessionKey = (session: bigint): Key => numbered(0x73, session)

/** Everything in a directory, as the prefix of a scan. */
export const dentriesPrefix = (parent: bigint): Key => numbered(0x64, parent)
export const dentriesKey = (parent: bigint, hash: number): Key => key(numbered(0x64, parent) + safeInteger(hash))

/** All replies of a session, as the prefix of a scan. */
export const repliesPrefix = (session: bigint): Key => numbered(0x72, session)
export const replyKey = (session: bigint, slot: number): Key => key(numbered(0x72, session) + u32(slot))

/** `name` is ASCII. */
export const counterKey = (name: string): Key => key(`n${name}`)
/** The next inode number, and how many inodes there are. */
export const inodeCounter = counterKey('inode')
/** The next session number. */
export const sessionCounter = counterKey('session')

/**
 * The place of a name in its directory: 53 bits, well spread, the same for ever. It is no secret, so names that collide
 * can be made on purpose; they share a key, and `dentriesMax` of records.ts bounds how many. Source: cyrb53 (bryc).
 */
export function nameHash(name: Uint8Array): number {
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (const byte of name) {
    a = Math.imul(a ^ byte, 0x9e3779b1)
    b = Math.imul(b ^ byte, 0x5f356495)
  }
  const high = mix(b, a) & 0x1fffff
  const low = mix(a, b) >>> 0
  return high * 0x1_0000_0000 + low || 1 // 0 would be the cookie that begins a listing
}

/** What a key is; undefined for anything that is no replicated key. */
export type ParsedKey =
  | { readonly kind: 'inode' | 'contents' | 'hold' | 'holes' | 'xattrs' | 'locks' | 'orphan'; readonly ino: bigint }
  | { readonly kind: 'dentries'; readonly parent: bigint; readonly hash: number }
  | { readonly kind: 'session' | 'place'; readonly session: bigint }
  | { readonly kind: 'reply'; readonly session: bigint; readonly slot: number }
  | { readonly kind: 'counter'; readonly name: string }

export function parseKey(text: Key): ParsedKey | undefined {
  const kind = kinds.get(text.slice(0, 1))
  if (kind === undefined) return undefined
  if (kind === 'counter') return text.length > 1 ? { kind, name: text.slice(1) } : undefined
  const bytes = Buffer.from(text, 'latin1')
  if (bytes.length !== 9 + (kind === 'dentries' ? 8 : kind === 'reply' ? 4 : 0)) return undefined
  const first = bytes.readBigUInt64BE(1)
  if (kind === 'session' || kind === 'place') return { kind, session: first }
  if (kind === 'reply') return { kind, session: first, slot: bytes.readUInt32BE(9) }
  if (kind !== 'dentries') return { kind, ino: first }
  const hash = bytes.readBigUInt64BE(9)
  return hash >= 1n && hash <= BigInt(nameHashMax) ? { kind, parent: first, hash: Number(hash) } : undefined
}

const kinds: ReadonlyMap<string, ParsedKey['kind']> = new Map(
  Object.entries(prefixes).map(([kind, prefix]) => [prefix, kind as ParsedKey['kind']]),
)

const mix = (a: number, b: number): number =>
  Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35)

const scratch = new Uint8Array(8)
const scratchView = new DataView(scratch.buffer)

/** Twice as fast as Buffer.toString('latin1'), and a key is made for every look at the state. */
function numbered(prefix: number, value: bigint): Key {
  scratchView.setBigUint64(0, value)
  const s = scratch as unknown as Eight
  return key(String.fromCharCode(prefix, s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]))
}

function safeInteger(value: number): string {
  return u32(Math.floor(value / 0x1_0000_0000)) + u32(value >>> 0)
}

function u32(value: number): string {
  return String.fromCharCode(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255)
}

type Eight = readonly [number, number, number, number, number, number, number, number]
