import { bodyAt, DamagedRecord, frame, seal, unseal } from './seal.ts'

/** Blocks [from, to) of a file. */
export type Run = readonly [from: number, to: number]
/** Disjoint, not adjacent, ascending. */
export type Runs = readonly Run[]

const kindHoles = 0x68
const holesVersion = 1
const runBytes = 8

/** The blocks of a blob that were never written; at least one run. u32 first block and u32 end, for each. */
export function encodeHoles(runs: Runs): Buffer {
  const value = frame(kindHoles, holesVersion, runs.length * runBytes)
  for (const [index, [from, to]] of runs.entries()) {
    value.writeUInt32LE(from, bodyAt + index * runBytes)
    value.writeUInt32LE(to, bodyAt + index * runBytes + 4)
  }
  return seal(value)
}

/** @throws DamagedRecord */
export function decodeHoles(value: Uint8Array): Runs {
  const end = unseal(value, kindHoles, holesVersion)
  if (end === bodyAt || (end - bodyAt) % runBytes !== 0)
    throw new DamagedRecord('body', 'a record of holes is cut short')
  const view = new DataView(value.buffer, value.byteOffset, value.length)
  const runs: Run[] = []
  let last = -1
  for (let at = bodyAt; at < end; at += runBytes) {
    const run = [view.getUint32(at, true), view.getUint32(at + 4, true)] as const
    if (run[0] <= last || run[1] <= run[0]) throw new DamagedRecord('body', 'holes that touch or are out of order')
    runs.push(run)
    last = run[1]
  }
  return runs
}
