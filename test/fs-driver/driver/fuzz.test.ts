import t from 'tap'
import { BoundedClient, FuzzedDriver } from '../../fixtures/fuzzed-driver.ts'
import type { MemoryClient } from '../../fixtures/memory-client.ts'

// A driver over files in memory is given requests with anything in them. Who waits for an answer gets exactly one, which
// the kernel would take; nothing is thrown, and nothing stays in work.

const rounds = Number(process.env['FUZZ_ROUNDS'] ?? 20_000)
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
/** Of one driver: small, so that what failed is replayed at once, and little is left of what was made. */
const roundsEach = 1000
const limitMs = Math.max(60_000, rounds)

t.setTimeout(limitMs)

void t.test('who waits for an answer gets exactly one, whatever was asked', { timeout: limitMs }, async (t) => {
  t.comment(`replay: FUZZ_SEED=${seed} FUZZ_ROUNDS=${rounds} node --import=tsx test/fs-driver/driver/fuzz.test.ts`)
  const outcomes = new Map<string, number>()
  for (let done = 0; done < rounds; done += roundsEach) {
    const fuzzed = new FuzzedDriver(seed + done)
    await fuzzed.run(Math.min(roundsEach, rounds - done), outcomes)
    await fuzzed.close()
    if (fuzzed.faults.length > 0)
      return t.fail(`FUZZ_SEED=${seed + done} FUZZ_ROUNDS=${roundsEach}`, { faults: fuzzed.faults })
  }
  const said = [...outcomes].sort(([, a], [, b]) => b - a).map(([what, times]) => `${what} ${times}`)
  t.comment(said.join(', '))
  const kinds = ['done', 'entry', 'attributes', 'opened', 'created', 'written', 'data', 'error', 'statx', 'space']
  const missed = kinds.filter((kind) => !outcomes.has(kind))
  t.same(rounds >= 20_000 ? missed : [], [], 'requests of every kind were done as well as refused')
  t.pass(`${rounds} requests`)
})

void t.test('faults put in on purpose are found', async (t) => {
  const faultsWith = async (client: MemoryClient) => {
    const fuzzed = new FuzzedDriver(1, client)
    await fuzzed.run(roundsEach)
    await fuzzed.close()
    return fuzzed.faults
  }
  const broken = new BoundedClient()
  broken.gate = () => Promise.reject(new TypeError('a bug'))
  t.match((await faultsWith(broken))[0], /request\.failed/, 'an error that is none of a file system')
  const lying = new BoundedClient()
  lying.call = async () => ({ $case: 'names', value: { names: [] } })
  t.match((await faultsWith(lying))[0], /request\.failed/, 'an answer to another question')
  t.same(await faultsWith(new BoundedClient()), [], 'none with none')
})
