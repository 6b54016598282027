import t from 'tap'
import type { Forward } from '../../../proto/generated/peer-service.ts'
import { nodeId } from '../../../proto/ids.ts'
import { answerTo, Forwards, handedFrom } from '../../../server/session/forwards.ts'
import { root } from './memory-volume.ts'

const primary = nodeId('s1')
const position = { epoch: 2, seq: 7 }

function process(first: bigint): { readonly forwards: Forwards; readonly sent: Forward[] } {
  const sent: Forward[] = []
  return { forwards: new Forwards((_to, forward) => sent.push(forward), first), sent }
}

const change = { session: 3n, slot: 1, seq: 9n, caller: root, operation: { $case: 'statfs', value: {} } } as const
const handed = { kind: 'operation', change, seen: position } as unknown as Parameters<Forwards['hand']>[1]

void t.test('what is handed on arrives as it was, and its answer too', async (t) => {
  const { forwards, sent } = process(5n)
  const answer = forwards.hand(primary, handed)
  const [forward] = sent
  if (forward === undefined) throw new Error('nothing was sent')
  t.same(handedFrom(forward), handed)
  const done = { kind: 'done', errno: 0, reply: undefined, position } as unknown as Parameters<typeof answerTo>[1]
  forwards.onAnswer(answerTo(forward.ticket, done))
  t.same(await answer, done)
})

void t.test('an answer to the process before is none to this one', async (t) => {
  const before = process(1n << 40n)
  const now = process(1n << 41n)
  void before.forwards.hand(primary, handed)
  let answered = false
  void now.forwards.hand(primary, handed).then(() => {
    answered = true
  })
  now.forwards.onAnswer(answerTo(before.sent[0]?.ticket ?? 0n, { kind: 'ended' }))
  await new Promise(setImmediate)
  t.notOk(answered)
})
