import type * as wire from '../../proto/generated/peer-service.ts'
import type { ItemDigest } from '../../replication/ports.ts'
import type { Slice, Wanted, WorkItem } from '../../replication/work.ts'
import { BadFrame, type Bodies, bufferOf, keyBytes, keyFrom, present, safe, seqFrom } from './wire.ts'

/** Pieces of state and their digests, as replication has them, to and from the wire. Decoding throws BadFrame. */

export function workItemTo(item: WorkItem): wire.WorkItem {
  switch (item.kind) {
    case 'keys':
      return { kind: { $case: 'keys', value: { keys: item.keys.map(keyBytes) } } }
    case 'keyRange': {
      const to = item.to === undefined ? undefined : keyBytes(item.to)
      return { kind: { $case: 'keyRange', value: { from: keyBytes(item.from), to } } }
    }
    case 'range': {
      const { blob, offset, length } = item
      return { kind: { $case: 'range', value: { blob, offset: BigInt(offset), length: BigInt(length) } } }
    }
    case 'blobRange':
      return { kind: { $case: 'blobRange', value: { from: item.from, to: item.to } } }
  }
}

export function workItemFrom(item: wire.WorkItem | undefined): WorkItem {
  const kind = item?.kind
  switch (kind?.$case) {
    case 'keys':
      return { kind: 'keys', keys: kind.value.keys.map(keyFrom) }
    case 'keyRange': {
      const { from, to } = kind.value
      return { kind: 'keyRange', from: keyFrom(from), to: to === undefined ? undefined : keyFrom(to) }
    }
    case 'range': {
      const { blob, offset, length } = kind.value
      return { kind: 'range', blob, offset: safe(offset), length: safe(length) }
    }
    case 'blobRange':
      return { kind: 'blobRange', from: kind.value.from, to: kind.value.to }
    case undefined:
      throw new BadFrame('a work item of no known kind')
  }
}

export const wantedTo = (wanted: Wanted): wire.Wanted => ({
  item: workItemTo(wanted.item),
  digests: bufferOf(wanted.digests),
})

export function wantedFrom(wanted: wire.Wanted | undefined): Wanted {
  const { item, digests } = present(wanted, 'what is wanted')
  return { item: workItemFrom(item), digests }
}

/** Its body goes to `bodies`. */
export function sliceTo(slice: Slice, bodies: Uint8Array[]): wire.Slice {
  bodies.push(slice.body)
  return {
    at: BigInt(slice.at),
    item: workItemTo(slice.item),
    rest: slice.rest === undefined ? undefined : workItemTo(slice.rest),
    movedBytes: BigInt(slice.movedBytes),
    damaged: slice.damaged,
  }
}

export function sliceFrom(message: wire.Slice | undefined, bodies: Bodies): Slice {
  const slice = present(message, 'a slice')
  return {
    at: seqFrom(slice.at),
    item: workItemFrom(slice.item),
    body: bodies.next(),
    rest: slice.rest === undefined ? undefined : workItemFrom(slice.rest),
    movedBytes: safe(slice.movedBytes),
    damaged: slice.damaged,
  }
}

export const digestTo = (digest: ItemDigest): wire.ItemDigest => ({
  digest: bufferOf(digest.digest),
  damaged: [...digest.damaged],
  detail: digest.detail.map(([part, value]) => ({ part, digest: value })),
})

export function digestFrom(message: wire.ItemDigest | undefined): ItemDigest {
  const { digest, damaged, detail } = present(message, 'a digest')
  return { digest, damaged, detail: detail.map((row) => [row.part, row.digest] as const) }
}
