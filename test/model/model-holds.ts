import { type Node, no } from './model-node.ts'

/** Whose session asks, and whether anybody is given a hold now. */
export interface Holder {
  readonly session: bigint
  readonly mayHold: boolean
}

/** Of two sessions only one has it. @returns its number */
export function takeHold(node: Node, number: bigint | undefined, { session, mayHold }: Holder): bigint | undefined {
  if (number === undefined || !mayHold) return undefined
  if (node.hold !== undefined && node.hold.session !== session) return undefined
  node.hold = { session, number }
  return number
}

/** What was held back is written only under the hold that it was held back under. */
export function needHold(node: Node, number: bigint | undefined, { session }: Holder): void {
  if (number === undefined) return
  if (node.hold?.session !== session || node.hold.number !== number) no('EIO')
}

/** An answer, and the hold that came with it. */
export const withHold = (answer: unknown, hold: bigint | undefined): unknown =>
  hold === undefined ? answer : `${String(answer)} hold ${hold}`
