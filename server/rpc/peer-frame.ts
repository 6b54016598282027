import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire'
import { joinedForNow } from '../../proto/frames.ts'
import { PeerFrame, PeerHello, PeerMessage } from '../../proto/generated/peer-service.ts'

/** A PeerFrame as the generated code writes it, but every body is copied once only. It stays until the next call. */
export function peerFrameBytes(frame: PeerFrame): Buffer {
  const head = PeerFrame.encode({ ...frame, bodies: [] }).finish()
  const pieces: Uint8Array[] = [head]
  let length = head.length
  for (const body of frame.bodies) {
    const before = new BinaryWriter().uint32(bodyTag).uint32(body.length).finish()
    pieces.push(before, body)
    length += before.length + body.length
  }
  return joinedForNow({ pieces, length })
}

/** A PeerFrame as the generated code reads it, but bodies are views into `bytes`. @throws Error for what is none */
export function peerFrameFrom(bytes: Buffer): PeerFrame {
  const reader = new BinaryReader(bytes)
  const frame: PeerFrame = { hello: undefined, messages: [], bodies: [] }
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === helloTag) frame.hello = PeerHello.decode(reader, reader.uint32())
    else if (tag === messageTag) frame.messages.push(PeerMessage.decode(reader, reader.uint32()))
    else if (tag === bodyTag) frame.bodies.push(bufferOver(reader.bytes()))
    else reader.skip(tag & 7)
  }
  return frame
}

const helloTag = 10
const messageTag = 18
const bodyTag = 26

const bufferOver = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
