import type { Incarnation, NodeId, Seq } from '../../proto/ids.ts'
import type { Position } from '../../replication/entry.ts'
import type { Timing } from '../../replication/ports.ts'
import type { Place } from '../../server/session/places.ts'
import type { Op } from './operations.ts'

/** What clients ask of a server, and servers of the primary on a client's behalf. */
export type Call =
  | { readonly kind: 'open'; readonly nonce: string }
  | { readonly kind: 'close'; readonly session: string }
  /** Everything acknowledged so far is to be on the disks when it is answered. */
  /** `by`: who asks. Asked again it is the same question, as over a connection that stands, as long as one primary has it. */
  | { readonly kind: 'flush'; readonly by: string }
  /** `seen`: the highest position this session has seen (R20). */
  | { readonly kind: 'read'; readonly op: Op; readonly seen: Position; readonly stream?: StreamId }
  /** `take`: the number of a hold that is wanted. `under`: of the hold under which it was held back. */
  | {
      readonly kind: 'change'
      readonly request: RequestId
      readonly op: Op
      readonly stream?: StreamId
      readonly take?: number
      readonly under?: number
    }
  /** Answered when no other session has a hold on the object. */
  | { readonly kind: 'awaitRelease'; readonly object: string; readonly session: string | undefined }
  | LeaseCall

/** What a client with a cache says besides, on its stream. */
export type LeaseCall =
  | { readonly kind: 'attach'; readonly stream: StreamId }
  | { readonly kind: 'beat'; readonly stream: StreamId }
  | { readonly kind: 'recalled'; readonly stream: StreamId; readonly number: bigint }

/** A client's stream: whose, and which of the session's. */
export interface StreamId {
  readonly client: string
  readonly session: string
  readonly attach: bigint
}

export type Change = Exclude<Call, { kind: 'read' } | LeaseCall>

/** Names a change for ever: the same through every retry and at every provider (R29). */
export interface RequestId {
  readonly session: string
  readonly slot: number
  readonly seq: number
}

/** `frame`: its place on the client's stream, where there is one; `leased`: the client may keep what it says. */
export type Answer = { readonly frame?: number; readonly leased?: boolean } & (
  | { readonly kind: 'done'; readonly result: string; readonly at: Position }
  /** What the session has seen is no more; `at` is what there is now. */
  | { readonly kind: 'lost'; readonly at: Position }
  /** Not here, or not now. */
  | { readonly kind: 'again' }
  /** 'ended': there is no such session (R31). 'misordered': neither the slot's last request nor the next. */
  | { readonly kind: 'refused'; readonly why: 'ended' | 'misordered' }
  /** To a beat: all leases hold until so long after it was sent. */
  | { readonly kind: 'prolonged'; readonly leaseMs: number }
)

/** What a server says to a client by itself. */
export interface Push {
  readonly stream: StreamId
  readonly frame: number
  readonly number: bigint
  readonly objects: readonly string[]
  readonly everything: boolean
  /** A hold that somebody else wants: then it is no recall of leases. */
  readonly wanted?: { readonly object: string; readonly number: number }
}

/** Between servers, beside the replicas' own messages. An answer is for the process that asked, and for no later one. */
export type ServerFrame =
  | { readonly frame: 'forward'; readonly asker: Incarnation; readonly ticket: number; readonly call: Change }
  /** A session is attached to the sender. */
  | { readonly frame: 'attached'; readonly session: string; readonly place: Place }
  /** The session is to be asked for a hold. */
  | { readonly frame: 'wanted'; readonly session: string; readonly object: string; readonly number: number }
  | { readonly frame: 'answer'; readonly asker: Incarnation; readonly ticket: number; readonly answer: Answer }

export const sessionKey = (session: string): string => `s/${session}`
export const slotKey = (session: string, slot: number): string => `s/${session}/${slot}`
export const nextSessionKey = 'n'

export const encodeReply = (seq: number, result: string): string => `${seq}|${result}`

export function decodeReply(value: string): { readonly seq: number; readonly result: string } {
  const at = value.indexOf('|')
  return { seq: Number(value.slice(0, at)), result: value.slice(at + 1) }
}

export const requestName = ({ session, slot, seq }: RequestId): string => `${session}/${slot}/${seq}`

export interface ServerPorts {
  readonly self: NodeId
  readonly incarnation: Incarnation
  now(): number
  sendToServer(to: NodeId, frame: ServerFrame): void
  push(push: Push): void
  readonly timing: Timing
  /** A read that has to wait for a disk, sometimes. */
  slowly(then: () => void): void
  /** For the checkers: a flush was answered. */
  flushed(upTo: Seq): void
}

/** A session's record: that it is open, and where it may have leases. */
export function encodePlace({ node, incarnation, attach }: Place): string {
  return `open|${node}|${incarnation}|${attach}`
}

export function decodePlace(value: string): Place | undefined {
  const [, node, incarnation, attach] = value.split('|')
  if (node === undefined || incarnation === undefined || attach === undefined) return undefined
  return { node: node as NodeId, incarnation: incarnation as Incarnation, attach: BigInt(attach) }
}
