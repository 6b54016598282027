import { errnos } from '../../proto/errno.ts'
import type { Request, Response } from '../../proto/generated/file-service.ts'
import type { Position } from '../../replication/entry.ts'
import { epochFrom, seqFrom } from '../rpc/wire.ts'
import type { Answer } from './ports.ts'

export type Done = Extract<Answer, { kind: 'done' }>

/** @throws BadFrame */
export const seenOf = ({ seen, seenEpoch }: Pick<Request, 'seen' | 'seenEpoch'>): Position => ({
  epoch: epochFrom(seenEpoch),
  seq: seqFrom(seen),
})

/** An answer on the wire: of a provider to its client, or of the primary to a provider. */
export function responseOf(id: number, { errno, reply, position, lost }: Done): Response {
  const place = { position: BigInt(position.seq), positionEpoch: BigInt(position.epoch) }
  return { id, errno, ...place, lost: lost === true, reply: reply && { kind: reply }, leased: [] }
}

/** @throws BadFrame */
export function doneOf({ errno, reply, position, positionEpoch, lost }: Response): Done {
  const place = { epoch: epochFrom(positionEpoch), seq: seqFrom(position) }
  return { kind: 'done', errno, reply: reply?.kind, position: place, ...(lost && { lost: true }) }
}

/** To somebody who has seen what is no more: from `position` on it goes on with what there is. */
export const lostSince = (position: Position): Done => ({
  kind: 'done',
  errno: errnos.EIO,
  reply: undefined,
  position,
  lost: true,
})
