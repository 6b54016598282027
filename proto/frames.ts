import { BinaryWriter } from '@bufbuild/protobuf/wire'
import { ClientFrame, Request, Response, ServerFrame, Write } from './generated/file-service.ts'

/**
 * Frames with contents of files in them, as the generated code would write them, but for the number of copies: that moves
 * the contents once for every message around them, and once more for each time its buffer grows.
 */
const largeBytes = 2048

/** An encoded message in pieces, which are joined once, at the end. */
export interface Pieces {
  readonly pieces: readonly Uint8Array[]
  readonly length: number
}

const delimited = 2 // wire type LEN

/** `before`, then one more field with those bytes. */
export function withBytes(before: Uint8Array, field: number, bytes: Uint8Array): Pieces {
  return withMessage(before, field, { pieces: [bytes], length: bytes.length })
}

/** `before`, then one more field with that message. Fields may come in any order. */
export function withMessage(before: Uint8Array, field: number, { pieces, length }: Pieces): Pieces {
  const head = new BinaryWriter()
    .uint32((field << 3) | delimited)
    .uint32(length)
    .finish()
  return { pieces: [before, head, ...pieces], length: before.length + head.length + length }
}

export const joined = ({ pieces, length }: Pieces): Buffer => Buffer.concat(pieces, length)

/** Longer messages are rare, and get a buffer of their own. */
const scratchBytes = 2 << 20
let scratch: Buffer | undefined

/**
 * The same, in a buffer that the next call uses again. Only for gRPC's server, which copies a message behind its own five
 * bytes before it asks for the next: a new megabyte for each message would be the collector's main work.
 */
export function joinedForNow({ pieces, length }: Pieces): Buffer {
  if (length > scratchBytes) return joined({ pieces, length })
  scratch ??= Buffer.allocUnsafeSlow(scratchBytes)
  let end = 0
  for (const piece of pieces) {
    scratch.set(piece, end)
    end += piece.length
  }
  return scratch.subarray(0, end)
}

const none = new Uint8Array(0)
const noBytes = Buffer.alloc(0)

/** The frame's bytes: those that ClientFrame.encode makes, perhaps in another order. */
export function clientFrameBytes(frame: ClientFrame): Buffer {
  const request = frame.kind?.$case === 'request' ? frame.kind.value : undefined
  const call = request?.operation?.kind
  if (request === undefined || call?.$case !== 'write' || call.value.data.length < largeBytes) {
    return asBuffer(ClientFrame.encode(frame).finish())
  }
  const before = Request.encode({ ...request, operation: undefined }).finish()
  return joined(withMessage(none, 2, withMessage(before, 6, largeWrite(call.value))))
}

/** An Operation that is a write. */
function largeWrite(value: Write): Pieces {
  const { data } = value
  return withMessage(none, 15, withBytes(Write.encode({ ...value, data: noBytes }).finish(), 3, data))
}

/** The frame's bytes: those that ServerFrame.encode makes, perhaps in another order. They stay until the next call. */
export function serverFrameBytes(frame: ServerFrame): Buffer {
  const response = frame.kind?.$case === 'response' ? frame.kind.value : undefined
  const reply = response?.reply?.kind
  if (response === undefined || reply?.$case !== 'data' || reply.value.length < largeBytes) {
    return asBuffer(ServerFrame.encode(frame).finish())
  }
  const before = Response.encode({ ...response, reply: undefined }).finish()
  return joinedForNow(withMessage(none, 2, withMessage(before, 4, withBytes(none, 3, reply.value))))
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
