import t from 'tap'
import { type Call, linearize, type Model } from './linearizability.ts'
import { model, type Op } from './operations.ts'
import { Prng } from './random.ts'

type RegisterOp = { readonly write: string } | 'read'

const register: Model<RegisterOp> = {
  initial: '',
  step: (state, op) => (op === 'read' ? { state, result: state } : { state: op.write, result: 'ok' }),
}

const write = (value: string, invoked: number, returned: number): Call<RegisterOp> => {
  return { op: { write: value }, invoked, returned, result: returned === Number.POSITIVE_INFINITY ? undefined : 'ok' }
}
const read = (result: string, invoked: number, returned: number): Call<RegisterOp> => {
  return { op: 'read', invoked, returned, result }
}

void t.test('a history without calls is linearizable', async (t) => {
  t.same(linearize(register, []), [])
})

void t.test('a read after a write has returned sees it', async (t) => {
  t.ok(linearize(register, [write('a', 0, 1), read('a', 2, 3)]))
  t.equal(linearize(register, [write('a', 0, 1), read('', 2, 3)]), undefined)
})

void t.test('a read that overlaps a write may see it or not, but readers never go back', async (t) => {
  t.ok(linearize(register, [write('a', 0, 10), read('a', 1, 2), read('a', 3, 4)]))
  t.ok(linearize(register, [write('a', 0, 10), read('', 1, 2), read('a', 3, 4)]))
  t.equal(linearize(register, [write('a', 0, 10), read('a', 1, 2), read('', 3, 4)]), undefined)
})

void t.test('a write whose answer never came may have happened late, or never', async (t) => {
  const lost = write('a', 0, Number.POSITIVE_INFINITY)
  t.ok(linearize(register, [lost, read('', 1, 2)]))
  t.ok(linearize(register, [lost, read('', 1, 2), read('a', 3, 4)]))
  t.equal(linearize(register, [lost, read('a', 1, 2), read('', 3, 4)]), undefined)
})

void t.test('two readers must agree on the order of overlapping writes', async (t) => {
  const writes = [write('a', 0, 10), write('b', 0, 10)]
  t.ok(linearize(register, [...writes, read('a', 11, 12), read('a', 13, 14)]))
  t.equal(linearize(register, [...writes, read('a', 11, 12), read('b', 13, 14)]), undefined)
})

void t.test('an item that was appended twice is noticed', async (t) => {
  const append: Call<Op> = { op: { kind: 'append', object: 'l0', item: 'x' }, invoked: 0, returned: 1, result: 'ok' }
  const readList = (result: string): Call<Op> => ({
    op: { kind: 'read', object: 'l0' },
    invoked: 2,
    returned: 3,
    result,
  })
  t.ok(linearize(model, [append, readList(',x')]))
  t.equal(linearize(model, [append, readList(',x,x')]), undefined)
})

void t.test('the order that is found explains the history', async (t) => {
  for (let seed = 1; seed <= 200; seed++) {
    const order = linearize(model, randomHistory(seed))
    t.ok(order, `seed ${seed}`)
    let state = ''
    for (const call of order ?? []) {
      const next = model.step(state, call.op)
      if (call.result !== undefined && call.result !== next.result) t.fail(`seed ${seed}: ${JSON.stringify(call)}`)
      state = next.state
    }
  }
})

void t.test('a result that was changed is noticed, unless another order explains it', async (t) => {
  let noticed = 0
  for (let seed = 1; seed <= 200; seed++) {
    const history = [...randomHistory(seed)]
    const index = history.findLastIndex((call) => call.op.kind === 'read' && call.result !== '')
    const call = history[index]
    if (call === undefined) continue
    history[index] = { ...call, result: 'never written' }
    t.equal(linearize(model, history), undefined, `seed ${seed}`)
    noticed += 1
  }
  t.ok(noticed > 100, `${noticed} histories had a read to change`)
})

void t.test('a search that takes too long says so', async (t) => {
  const writes = Array.from({ length: 12 }, (_, i) => write(`${i}`, 0, 100))
  t.throws(() => linearize(register, [...writes, read('never', 101, 102)], 1000), /too long/)
})

/** Calls that overlap, each taking effect at a random moment of its time. */
function randomHistory(seed: number): readonly Call<Op>[] {
  const random = new Prng(seed)
  const planned = Array.from({ length: 40 }, (_, i) => {
    const invoked = random.between(0, 100)
    const returned = invoked + random.exponential(4)
    const op: Op = random.chance(0.4)
      ? { kind: 'read', object: 'r0' }
      : random.chance(0.5)
        ? { kind: 'append', object: 'r0', item: `${i}` }
        : { kind: 'compareAndSet', object: 'r0', expected: '', value: `${i}` }
    return { op, invoked, returned, effective: random.between(invoked, returned), lost: random.chance(0.05) }
  })
  let state = ''
  const calls: Call<Op>[] = []
  for (const call of planned.sort((a, b) => a.effective - b.effective)) {
    const next = model.step(state, call.op)
    state = next.state
    const { op, invoked, returned } = call
    if (call.lost) calls.push({ op, invoked, returned: Number.POSITIVE_INFINITY, result: undefined })
    else calls.push({ op, invoked, returned, result: next.result })
  }
  return calls
}
