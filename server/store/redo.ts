import { crc32 } from 'node:zlib'
import type { Seq } from '../../proto/ids.ts'
import { applyEffects, type State } from './apply.ts'
import { decodeBody, decodeHead, type HeadEffect } from './body.ts'
import type { Effect } from './effect.ts'
import type { Journal } from './journal.ts'
import type { EntryRecord } from './journal-record.ts'
import type { Staging } from './staging.ts'

/** The body of an entry, put together again; undefined when its tail is no longer in staging. */
export function wholeBody(record: EntryRecord, staging: Staging): Uint8Array | undefined {
  const tailBytes = record.bodyLength - record.head.length
  if (tailBytes === 0) return record.head
  const body = Buffer.concat([record.head, staging.read(record.place, tailBytes)])
  return body.length === record.bodyLength && crc32(body) === record.check ? body : undefined
}

/** What the journal says that an entry changed. */
export function effectsOf(record: EntryRecord): readonly (Effect | HeadEffect)[] {
  const effects = decodeHead(record.head)
  if (effects === undefined) throw new Error(`entry ${record.mark.seq} in the journal can't be read`)
  return effects
}

/**
 * Applies the committed entries after `from` up to `to` again, in order (S10). Keys are all in the journal. Bytes of a
 * blob may not be: its staging was used again, which happens only when they were in the blob. Then what came before
 * them must not be written over them either: of each blob, only what came after the last such write is done again.
 */
export function redo(state: State, journal: Journal, staging: Staging, span: { from: Seq; to: Seq }): void {
  const gone = new Map<bigint, Seq>()
  within(journal, span, (record) => {
    if (wholeBody(record, staging) !== undefined) return
    for (const effect of effectsOf(record)) if ('length' in effect) gone.set(effect.blob, record.mark.seq)
  })
  within(journal, span, (record) => {
    const body = wholeBody(record, staging)
    const effects = body === undefined ? effectsOf(record) : decodeBody(body)
    if (effects === undefined) throw new Error(`entry ${record.mark.seq} in the journal can't be read`)
    for (const effect of effects) {
      const known = 'blob' in effect ? (gone.get(effect.blob) ?? 0) < record.mark.seq : true
      if (known && !('length' in effect)) applyEffects(state, [effect], { sound: false })
      else if ('blob' in effect) forget(state, effect)
    }
  })
}

function within(journal: Journal, { from, to }: { from: Seq; to: Seq }, take: (record: EntryRecord) => void): void {
  journal.entries((from + 1) as Seq, (record) => {
    if (record.mark.seq <= to) take(record)
    return record.mark.seq < to
  })
}

/** The blob was changed so, and is in whatever state that and later changes left it: its sums there are unknown. */
function forget({ sums }: State, effect: Extract<Effect | HeadEffect, { blob: bigint }>): void {
  if (effect.kind === 'blob.write') {
    const length = 'length' in effect ? effect.length : effect.data.length
    sums.forget(effect.blob, effect.offset, length)
  } else if (effect.kind === 'blob.zero') sums.forget(effect.blob, effect.offset, effect.count)
  else sums.truncated(effect.blob, effect.kind === 'blob.truncate' ? effect.size : 0)
}
