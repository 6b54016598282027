import type { Caller } from '../../proto/generated/file-service.ts'

/** Who asks when nobody has: what it is for was allowed before, or is nobody's but the session's. */
export const ourselves: Caller = { uid: 0, gid: 0, groups: [], pid: 0 }

/**
 * What names calls that the kernel has not asked for (see CallIdentity.unique), made of numbers of HostNumbers. The kernel's
 * are even, these are odd, and those of one kind are far from those of the others.
 */
export const ownCalls = {
  write: (number: bigint): bigint => (number << 1n) | 1n,
  ask: (number: bigint): bigint => (1n << 60n) | (number << 1n) | 1n,
  batch: (number: bigint): bigint => (1n << 61n) | (number << 1n) | 1n,
  release: (number: bigint): bigint => (1n << 62n) | (number << 1n) | 1n,
} as const
