import t from 'tap'
import { clientFrameBytes, serverFrameBytes } from '../../proto/frames.ts'
import { ClientFrame, ServerFrame } from '../../proto/generated/file-service.ts'

const sizes = [0, 1, 2047, 2048, 2049, 16_384, 1 << 20]

void t.test('a frame with a write reads as the one that was written, whatever its size', async (t) => {
  for (const size of sizes) {
    const data = Buffer.alloc(size, 7)
    const held = { take: 2n ** 61n, hold: 8n, ageNs: 9n }
    const write = { ino: 2n ** 60n, offset: 5n, data, append: true, killPrivileges: false, ...held }
    const caller = { uid: 1, gid: 2, groups: [3, 4], pid: 5 }
    const operation = { kind: { $case: 'write', value: write } as const }
    const value = { id: 9, slot: 3, seq: 4n, seen: 2n ** 50n, seenEpoch: 3n, caller, operation, invalidated: [6n] }
    const frame: ClientFrame = { kind: { $case: 'request', value } }
    t.strictSame(ClientFrame.decode(clientFrameBytes(frame)), frame, `${size} bytes`)
  }
})

void t.test('a frame with contents reads as the one that was written, whatever their size', async (t) => {
  for (const size of sizes) {
    const reply = { kind: { $case: 'data', value: Buffer.alloc(size, 7) } as const }
    const place = { position: 2n ** 40n, positionEpoch: 2n ** 20n, lost: false }
    const frame: ServerFrame = {
      kind: { $case: 'response', value: { id: 1, errno: 0, ...place, reply, leased: [7n] } },
    }
    t.strictSame(ServerFrame.decode(serverFrameBytes(frame)), frame, `${size} bytes`)
  }
})

void t.test('all other frames are as the generated code has them', async (t) => {
  const beat: ClientFrame = { kind: { $case: 'heartbeat', value: { round: 1n, openOrphans: [2n], dropped: [3n] } } }
  t.same(clientFrameBytes(beat), Buffer.from(ClientFrame.encode(beat).finish()))
  const bye: ServerFrame = { kind: { $case: 'goodbye', value: { reason: 'r', ended: true } } }
  t.same(serverFrameBytes(bye), Buffer.from(ServerFrame.encode(bye).finish()))
})
