import t from 'tap'
import { planOf } from '../../../fs-driver/driver/plan.ts'
import { frameOf } from '../../../fs-driver/protocol/frame.ts'
import type { Negotiated } from '../../../fs-driver/protocol/negotiate.ts'
import { wantedCapabilities } from '../../../fs-driver/protocol/negotiate.ts'
import { opcodes } from '../../../fs-driver/protocol/opcode.ts'
import { parseRequest } from '../../../fs-driver/protocol/request.ts'
import { wellFormedRequests } from '../../fixtures/well-formed-requests.ts'
import { kernelRequest, wire } from '../../fixtures/wire.ts'

const negotiated: Negotiated = { minor: 45, flags: wantedCapabilities, maxReadahead: 131072 }
const rounds = Number(process.env['FUZZ_ROUNDS'] ?? 100_000)
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

/** mulberry32: 32 random bits a call, the same ones for the same seed. */
function randomFrom(state: number): (below: number) => number {
  let at = state
  return (below) => {
    at = (at + 0x6d2b79f5) | 0
    let mixed = Math.imul(at ^ (at >>> 15), 1 | at)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

void t.test('any bytes give a request or a typed error', async (t) => {
  const replay = `FUZZ_SEED=${seed} FUZZ_ROUNDS=${rounds} node --import=tsx test/fs-driver/protocol/fuzz.test.ts`
  t.comment(`replay: ${replay}`)
  const random = randomFrom(seed)
  const codes = Object.values(opcodes).map(({ code }) => code)
  const samples = wellFormedRequests.map(({ op, body }) => ({ code: opcodes[op].code, body: wire(body) }))
  const seen = new Map<string, number>()
  const extreme = [0, 1, 0x7f, 0x80, 0xff, 0x2f]
  for (let round = 0; round < rounds; round++) {
    const body = Buffer.alloc(random(160))
    for (let at = 0; at < body.length; at++) body[at] = random(3) === 0 ? (extreme[random(6)] ?? 0) : random(256)
    if (random(2) === 0) body.fill(0, random(body.length + 1)) // small numbers and ended names: gets further in
    const sample = random(2) === 0 ? samples[random(samples.length)] : undefined
    const bytes = kernelRequest(sample?.code ?? codes[random(codes.length)] ?? 0, sample?.body ?? body)
    for (let flips = random(4); flips > 0; flips--) bytes[random(bytes.length)] = random(256)
    if (random(2) === 0) bytes.writeUInt32LE(bytes.length, 0)
    if (random(2) === 0) bytes.writeUInt16LE(0, 36)
    const length = random(8) === 0 ? random(bytes.length + 1) : bytes.length
    try {
      const parsed = parseRequest(frameOf(bytes), length, negotiated)
      if (parsed.op !== 'malformed' && parsed.op !== 'unknown') planOf(parsed)
      seen.set(parsed.op, (seen.get(parsed.op) ?? 0) + 1)
    } catch (error) {
      t.fail(`round ${round} of "${replay}" threw`, { error, bytes: bytes.toString('hex') })
      return
    }
  }
  const missed = Object.keys(opcodes).filter((op) => !seen.has(op))
  t.strictSame(rounds >= 100_000 ? missed : [], [], 'every kind of request was reached')
  t.ok((seen.get('malformed') ?? 0) > 0)
})
