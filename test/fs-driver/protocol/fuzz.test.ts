import t from 'tap'
import { planOf } from '../../../fs-driver/driver/plan.ts'
import { frameOf } from '../../../fs-driver/protocol/frame.ts'
import type { Negotiated } from '../../../fs-driver/protocol/negotiate.ts'
import { wantedCapabilities } from '../../../fs-driver/protocol/negotiate.ts'
import { opcodes } from '../../../fs-driver/protocol/opcode.ts'
import { parseRequest } from '../../../fs-driver/protocol/request.ts'
import { mutatedRequest, randomFrom } from '../../fixtures/mutated-requests.ts'

const negotiated: Negotiated = { minor: 45, flags: wantedCapabilities, maxReadahead: 131072 }
const rounds = Number(process.env['FUZZ_ROUNDS'] ?? 100_000)
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

t.setTimeout(Math.max(60_000, rounds))

void t.test('any bytes give a request or a typed error', { timeout: Math.max(60_000, rounds) }, async (t) => {
  const replay = `FUZZ_SEED=${seed} FUZZ_ROUNDS=${rounds} node --import=tsx test/fs-driver/protocol/fuzz.test.ts`
  t.comment(`replay: ${replay}`)
  const random = randomFrom(seed)
  const seen = new Map<string, number>()
  for (let round = 0; round < rounds; round++) {
    const { bytes, length } = mutatedRequest(random)
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
