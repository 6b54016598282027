import type * as wire from '../../proto/generated/peer-service.ts'
import { incarnation, type Seq } from '../../proto/ids.ts'
import type { Entry, EpochStart, Mark } from '../../replication/entry.ts'
import type { Heartbeat, HeartbeatReply, Message, StreamContent } from '../../replication/message.ts'
import type { Progress } from '../../replication/work.ts'
import { BadFrame, type Bodies, epochFrom, msFrom, present, safe, seqFrom } from './wire.ts'
import {
  digestFrom,
  digestTo,
  sliceFrom,
  sliceTo,
  wantedFrom,
  wantedTo,
  workItemFrom,
  workItemTo,
} from './work-codec.ts'

/** Replication's messages to and from the wire, every field of them. Bodies go to, and come from, the end of the frame. */
export function messageTo(message: Message, bodies: Uint8Array[]): wire.ReplicaMessage {
  return { epoch: BigInt(message.epoch), incarnation: message.incarnation, kind: kindTo(message, bodies) }
}

/** @throws BadFrame for whatever `messageTo` can't have made */
export function messageFrom(message: wire.ReplicaMessage, bodies: Bodies): Message {
  const envelope = { epoch: epochFrom(message.epoch), incarnation: incarnation(message.incarnation) }
  return { ...envelope, ...kindFrom(present(message.kind, 'the kind of a message'), bodies) }
}

type Kind = NonNullable<wire.ReplicaMessage['kind']>
type Bare<M> = M extends Message ? Omit<M, 'epoch' | 'incarnation'> : never

function kindTo(message: Message, bodies: Uint8Array[]): Kind {
  switch (message.kind) {
    case 'heartbeat':
      return { $case: 'heartbeat', value: heartbeatTo(message) }
    case 'heartbeatReply':
      return { $case: 'heartbeatReply', value: heartbeatReplyTo(message) }
    case 'refused':
      return { $case: 'refused', value: {} }
    case 'attach': {
      const { amnesia, resyncing, everything } = message
      const places = { last: markTo(message.last), base: markTo(message.base), history: message.history.map(startTo) }
      const positions = { applied: BigInt(message.applied), durable: BigInt(message.durable) }
      const value = { attempt: BigInt(message.attempt), ...places, ...positions, amnesia, resyncing, everything }
      return { $case: 'attach', value }
    }
    case 'attached': {
      const places = { from: BigInt(message.from), base: markTo(message.base), history: message.history.map(startTo) }
      const value = { ...places, resync: message.mode === 'resync', work: message.work.map(workItemTo) }
      return { $case: 'attached', value: { attempt: BigInt(message.attempt), ...value } }
    }
    case 'stream': {
      const { attempt, number, committed } = message
      const head = { attempt: BigInt(attempt), number: BigInt(number), committed: BigInt(committed) }
      return { $case: 'stream', value: { ...head, content: contentTo(message.content, bodies) } }
    }
    case 'ack': {
      const { attempt, last, recalled } = message
      return { $case: 'ack', value: { attempt: BigInt(attempt), last: BigInt(last), recalled: BigInt(recalled) } }
    }
    case 'flushed': {
      const { attempt, ticket, durable } = message
      const value = { attempt: BigInt(attempt), ticket: BigInt(ticket), durable: BigInt(durable) }
      return { $case: 'flushed', value }
    }
    case 'fetch': {
      const { attempt, ticket, wanted } = message
      const value = { attempt: BigInt(attempt), ticket: BigInt(ticket), wanted: wanted.map(wantedTo) }
      return { $case: 'fetch', value }
    }
    case 'caughtUp':
      return { $case: 'caughtUp', value: { attempt: BigInt(message.attempt) } }
    case 'leave':
      return { $case: 'leave', value: { reason: message.reason } }
    case 'commitQuery':
      return { $case: 'commitQuery', value: { ticket: BigInt(message.ticket) } }
    case 'commitAnswer': {
      const { to, ticket, committed } = message
      const value = { to, ticket: BigInt(ticket), committed: BigInt(committed) }
      return { $case: 'commitAnswer', value }
    }
    case 'verified': {
      const { attempt, ticket, at, digest } = message
      const head = { attempt: BigInt(attempt), ticket: BigInt(ticket), at: BigInt(at) }
      return { $case: 'verified', value: { ...head, digest: digestTo(digest) } }
    }
    case 'recovering': {
      const { last, has, heard } = message
      const value = { last: markTo(last), torn: has === 'a beginning', partial: has === 'parts', heard: [...heard] }
      return { $case: 'recovering', value }
    }
  }
}

function kindFrom(kind: Kind, bodies: Bodies): Bare<Message> {
  switch (kind.$case) {
    case 'heartbeat':
      return heartbeatFrom(kind.value)
    case 'heartbeatReply':
      return heartbeatReplyFrom(kind.value)
    case 'refused':
      return { kind: 'refused' }
    case 'attach': {
      const { attempt, last, base, history, applied, durable, amnesia, resyncing, everything } = kind.value
      const places = { last: markFrom(last), base: markFrom(base), history: history.map(startFrom) }
      const positions = { applied: seqFrom(applied), durable: seqFrom(durable) }
      return { kind: 'attach', attempt: safe(attempt), ...places, ...positions, amnesia, resyncing, everything }
    }
    case 'attached': {
      const { attempt, resync, from, base, history, work } = kind.value
      const places = { from: seqFrom(from), base: markFrom(base), history: history.map(startFrom) }
      const value = { mode: resync ? ('resync' as const) : ('follow' as const), work: work.map(workItemFrom) }
      return { kind: 'attached', attempt: safe(attempt), ...places, ...value }
    }
    case 'stream': {
      const { attempt, number, committed, content } = kind.value
      const head = { attempt: safe(attempt), number: safe(number), committed: seqFrom(committed) }
      return { kind: 'stream', ...head, content: contentFrom(content, bodies) }
    }
    case 'ack':
      return { kind: 'ack', attempt: safe(kind.value.attempt), ...endsFrom(kind.value) }
    case 'flushed': {
      const { attempt, ticket, durable } = kind.value
      return { kind: 'flushed', attempt: safe(attempt), ticket: safe(ticket), durable: seqFrom(durable) }
    }
    case 'fetch': {
      const { attempt, ticket, wanted } = kind.value
      return { kind: 'fetch', attempt: safe(attempt), ticket: safe(ticket), wanted: wanted.map(wantedFrom) }
    }
    case 'caughtUp':
      return { kind: 'caughtUp', attempt: safe(kind.value.attempt) }
    case 'leave':
      return { kind: 'leave', reason: kind.value.reason }
    case 'commitQuery':
      return { kind: 'commitQuery', ticket: safe(kind.value.ticket) }
    case 'commitAnswer': {
      const { to, ticket, committed } = kind.value
      return { kind: 'commitAnswer', to: incarnation(to), ticket: safe(ticket), committed: seqFrom(committed) }
    }
    case 'verified': {
      const { attempt, ticket, at, digest } = kind.value
      const head = { attempt: safe(attempt), ticket: safe(ticket), at: seqFrom(at) }
      return { kind: 'verified', ...head, digest: digestFrom(digest) }
    }
    case 'recovering': {
      const { last, torn, partial, heard } = kind.value
      const has = partial ? 'parts' : torn ? 'a beginning' : 'everything'
      return { kind: 'recovering', last: markFrom(last), has, heard: heard.map(incarnation) }
    }
  }
}

const heartbeatTo = (message: Heartbeat): wire.Heartbeat => ({
  sentAt: message.sentAt,
  to: message.to,
  attempt: BigInt(message.attempt),
  number: BigInt(message.number),
  echo: message.echo,
  leaseMs: message.leaseMs,
  committed: BigInt(message.committed),
})

const heartbeatFrom = (message: wire.Heartbeat): Heartbeat => ({
  kind: 'heartbeat',
  sentAt: msFrom(message.sentAt),
  to: incarnation(message.to),
  attempt: safe(message.attempt),
  number: safe(message.number),
  echo: msFrom(message.echo),
  leaseMs: msFrom(message.leaseMs),
  committed: seqFrom(message.committed),
})

const heartbeatReplyTo = (message: HeartbeatReply): wire.HeartbeatReply => ({
  sentAt: message.sentAt,
  echo: message.echo,
  promiseMs: message.promiseMs,
  attempt: BigInt(message.attempt),
  last: BigInt(message.last),
  recalled: BigInt(message.recalled),
  durable: BigInt(message.durable),
  applied: BigInt(message.applied),
  progress: message.progress === undefined ? undefined : progressTo(message.progress),
  freeBytes: BigInt(message.space.freeBytes),
  totalBytes: BigInt(message.space.totalBytes),
})

/** How far a member says it is: prepared and recalled. */
const endsFrom = ({ last, recalled }: Pick<wire.Ack, 'last' | 'recalled'>): { last: Seq; recalled: Seq } => ({
  last: seqFrom(last),
  recalled: seqFrom(recalled),
})

const heartbeatReplyFrom = (message: wire.HeartbeatReply): HeartbeatReply => ({
  kind: 'heartbeatReply',
  sentAt: msFrom(message.sentAt),
  echo: msFrom(message.echo),
  promiseMs: msFrom(message.promiseMs),
  attempt: safe(message.attempt),
  ...endsFrom(message),
  durable: seqFrom(message.durable),
  applied: seqFrom(message.applied),
  progress: message.progress === undefined ? undefined : progressFrom(message.progress),
  space: { freeBytes: safe(message.freeBytes), totalBytes: safe(message.totalBytes) },
})

const progressTo = (progress: Progress): wire.Progress => ({
  bytesDone: BigInt(progress.bytesDone),
  bytesTotal: BigInt(progress.bytesTotal),
  itemsDone: BigInt(progress.itemsDone),
  itemsTotal: BigInt(progress.itemsTotal),
})

const progressFrom = (progress: wire.Progress): Progress => ({
  bytesDone: safe(progress.bytesDone),
  bytesTotal: safe(progress.bytesTotal),
  itemsDone: safe(progress.itemsDone),
  itemsTotal: safe(progress.itemsTotal),
})

function contentTo(content: StreamContent, bodies: Uint8Array[]): NonNullable<wire.Stream['content']> {
  switch (content.kind) {
    case 'entries':
      return { $case: 'entries', value: { entries: content.entries.map((entry) => entryTo(entry, bodies)) } }
    case 'commit':
      return { $case: 'commit', value: {} }
    case 'flush':
      return { $case: 'flush', value: { ticket: BigInt(content.ticket) } }
    case 'slice':
      return { $case: 'slice', value: { ticket: BigInt(content.ticket), slice: sliceTo(content.slice, bodies) } }
    case 'verify': {
      const value = { ticket: BigInt(content.ticket), item: workItemTo(content.item), detail: content.detail }
      return { $case: 'verify', value }
    }
  }
}

function contentFrom(content: wire.Stream['content'], bodies: Bodies): StreamContent {
  switch (content?.$case) {
    case 'entries':
      return { kind: 'entries', entries: content.value.entries.map((entry) => entryFrom(entry, bodies)) }
    case 'commit':
      return { kind: 'commit' }
    case 'flush':
      return { kind: 'flush', ticket: safe(content.value.ticket) }
    case 'slice':
      return { kind: 'slice', ticket: safe(content.value.ticket), slice: sliceFrom(content.value.slice, bodies) }
    case 'verify': {
      const { ticket, item, detail } = content.value
      return { kind: 'verify', ticket: safe(ticket), item: workItemFrom(item), detail }
    }
    case undefined:
      throw new BadFrame('a stream message without contents')
  }
}

function entryTo({ epoch, seq, chain, body }: Entry, bodies: Uint8Array[]): wire.Entry {
  bodies.push(body)
  return { epoch: BigInt(epoch), seq: BigInt(seq), chain }
}

const entryFrom = ({ epoch, seq, chain }: wire.Entry, bodies: Bodies): Entry => ({
  epoch: epochFrom(epoch),
  seq: seqFrom(seq),
  chain,
  body: bodies.next(),
})

const markTo = (mark: Mark): wire.Mark => ({ epoch: BigInt(mark.epoch), seq: BigInt(mark.seq), chain: mark.chain })

function markFrom(message: wire.Mark | undefined): Mark {
  const mark = present(message, 'a position')
  return { epoch: epochFrom(mark.epoch), seq: seqFrom(mark.seq), chain: mark.chain }
}

const startTo = (start: EpochStart): wire.EpochStart => ({ epoch: BigInt(start.epoch), first: BigInt(start.first) })
const startFrom = (start: wire.EpochStart): EpochStart => ({
  epoch: epochFrom(start.epoch),
  first: seqFrom(start.first),
})
