import { bodyAt, DamagedRecord, frame, seal, unseal } from './seal.ts'

/** One stretch of a file that is locked. */
export interface Lock {
  readonly session: bigint
  /** Whose, within the session, as the kernel numbers owners: of POSIX locks a process, else an open file. */
  readonly owner: bigint
  /** Of flock(2), which knows nothing of the locks of fcntl(2), nor they of it. */
  readonly flock: boolean
  readonly exclusive: boolean
  /** First and last byte. */
  readonly start: bigint
  readonly end: bigint
  /** The open file through which it was taken: it goes with that at the latest. */
  readonly handle: bigint
  /** The process that took it, as its own host numbers processes. */
  readonly pid: number
}

/** The last byte of a lock that goes on to the end, however far that is. Source: OFFSET_MAX, include/linux/fs.h. */
export const lockEndMax = 2n ** 63n - 1n

const kindLocks = 0x6c
const locksVersion = 1
const lockBytes = 45
const flockBit = 1
const exclusiveBit = 2

/** `locks`: at least one. */
export function encodeLocks(locks: readonly Lock[]): Buffer {
  const value = frame(kindLocks, locksVersion, locks.length * lockBytes)
  let at = bodyAt
  for (const { session, owner, handle, start, end, pid, flock, exclusive } of locks) {
    for (const number of [session, owner, handle, start, end]) at = value.writeBigUInt64LE(number, at)
    at = value.writeUInt32LE(pid, at)
    at = value.writeUInt8((flock ? flockBit : 0) | (exclusive ? exclusiveBit : 0), at)
  }
  return seal(value)
}

/** @throws DamagedRecord */
export function decodeLocks(record: Uint8Array): readonly Lock[] {
  const end = unseal(record, kindLocks, locksVersion)
  if (end === bodyAt || (end - bodyAt) % lockBytes !== 0) throw new DamagedRecord('body', 'locks of odd length')
  const view = new DataView(record.buffer, record.byteOffset, record.length)
  const locks: Lock[] = []
  for (let at = bodyAt; at < end; at += lockBytes) locks.push(decodeLock(view, at))
  return locks
}

function decodeLock(view: DataView, at: number): Lock {
  const bits = view.getUint8(at + 44)
  const lock = {
    session: view.getBigUint64(at, true),
    owner: view.getBigUint64(at + 8, true),
    flock: (bits & flockBit) !== 0,
    exclusive: (bits & exclusiveBit) !== 0,
    start: view.getBigUint64(at + 24, true),
    end: view.getBigUint64(at + 32, true),
    handle: view.getBigUint64(at + 16, true),
    pid: view.getUint32(at + 40, true),
  }
  if (bits > (flockBit | exclusiveBit) || lock.start > lock.end || lock.end > lockEndMax) {
    throw new DamagedRecord('body', 'a lock of unknown kind, or on no bytes')
  }
  return lock
}
