import t from 'tap'
import { type RegisterCall, violations } from '../fixtures/register-history.ts'
import { attributesText, type NamesOp, type RegisterName, type RegisterOp } from '../fixtures/register-models.ts'
import { Prng } from '../simulation/random.ts'

/** A call on `register` from one moment to another, ms. `until` undefined: it never came back. */
const callOn =
  (register: RegisterName) =>
  (op: RegisterOp, result: string, from: number, until: number | undefined): RegisterCall => ({
    register,
    by: 'a0',
    op,
    result: until === undefined ? undefined : result,
    invoked: from * 1e6,
    returned: until === undefined ? undefined : until * 1e6,
  })

const onCell = callOn('overwritten-0')
const write = (value: string, from: number, until?: number) => onCell({ do: 'write', value }, 'ok', from, until)
const read = (value: string, from: number, until: number) => onCell({ do: 'read' }, value, from, until)

void t.test('contents: what an order explains is right', async (t) => {
  t.same(violations([]), [])
  t.same(violations([read('0', 0, 1), write('a', 2, 3), read('a', 4, 5)]), [], 'one after the other')
  t.same(violations([write('a', 0, 9), read('0', 1, 2), read('a', 3, 4)]), [], 'before and after, during a write')
  t.same(violations([write('a', 0, 9), write('b', 1, 8), read('b', 2, 3), read('a', 4, 5)]), [], 'two that overlap')
  t.same(violations([write('a', 0), read('0', 1, 2), read('a', 3, 4)]), [], 'a write that never came back')
})

void t.test('contents: planted violations are found, each', async (t) => {
  const [words = ''] = violations([write('a', 0, 1), write('b', 2, 3), read('a', 4, 5)])
  t.match(words, /overwritten-0: no order explains this, of 3 calls/, 'a stale read')
  t.match(words, /4\.000 to 5\.000 ms, a0: read {2}-> a/, 'shown with what was seen')
  t.equal(violations([write('a', 0, 1), read('0', 2, 3)]).length, 1, 'a lost write')
  t.equal(violations([write('a', 2, 3), read('a', 0, 1)]).length, 1, 'a value from the future')
  t.equal(violations([write('a', 0, 9), read('a', 1, 2), read('0', 3, 4)]).length, 1, 'back to the old value')
  t.equal(violations([write('a', 0), read('a', 1, 2), read('0', 3, 4)]).length, 1, 'the same, of a lost answer')
  const writes = [write('a', 0, 1), write('b', 2, 3), write('c', 4, 5)]
  t.equal(violations([...writes, read('b', 6, 7)]).length, 1, 'writes in another order than they were made')
  const overlapping = [write('a', 0, 9), write('b', 0, 9)]
  const readers = (last: string) => [read('a', 10, 11), read(last, 12, 13)]
  t.same(violations([...overlapping, ...readers('a')]), [])
  t.equal(violations([...overlapping, ...readers('b')]).length, 1, 'readers that disagree on an order')
  t.equal(violations([write('a', 0, 1), read('a\\u0000', 2, 3)]).length, 1, 'a torn value')
})

const onNames = callOn('files-0')
const named = (op: NamesOp, result: string, from: number, until?: number) => onNames(op, result, from, until)

void t.test('names: planted violations are found, each', async (t) => {
  const create = named({ do: 'create', at: 0, value: '7' }, 'ok', 0, 1)
  const remove = named({ do: 'remove', at: 0 }, 'ok', 2, 3)
  const get = (result: string, from: number) => named({ do: 'get', at: 0 }, result, from, from + 1)
  const list = (result: string, from: number) => named({ do: 'list', at: 0 }, result, from, from + 1)
  const move = (result: string, from: number, until?: number) =>
    named({ do: 'move', from: 0, to: 1 }, result, from, until)
  t.same(violations([create, get('7', 1.5), remove, get('ENOENT', 4), list('not there', 6)]), [])
  t.equal(violations([create, remove, get('7', 4)]).length, 1, 'a name seen after its removal')
  t.equal(violations([create, remove, list('there', 4)]).length, 1, 'a name listed after its removal')
  t.equal(violations([create, get('ENOENT', 4)]).length, 1, 'a name not seen after it was made')
  t.equal(violations([create, list('not there', 4)]).length, 1, 'a name not listed after it was made')
  t.equal(violations([create, get('8', 4)]).length, 1, 'another file than was made')
  const again = named({ do: 'create', at: 0, value: '8' }, 'ok', 0, 1)
  t.equal(violations([create, again]).length, 1, 'one name made twice')
  t.equal(violations([create, remove, named({ do: 'remove', at: 0 }, 'ok', 2, 3)]).length, 1, 'removed twice')
  t.equal(violations([named({ do: 'create', at: 0, value: '7' }, 'EEXIST', 0, 1)]).length, 1, 'EEXIST of nothing')
  t.same(violations([create, move('ok', 2, 3), named({ do: 'get', at: 1 }, '7', 4, 5), get('ENOENT', 4)]), [])
  t.equal(violations([create, move('ok', 2, 3), move('ok', 2, 3)]).length, 1, 'moved away twice')
  t.equal(violations([create, move('ok', 2, 3), get('7', 4)]).length, 1, 'both names after a move')
  t.equal(
    violations([create, move('ok', 2, 9), get('ENOENT', 3), named({ do: 'get', at: 1 }, 'ENOENT', 5, 6)]).length,
    1,
    'neither name during a move',
  )
  t.same(violations([create, move('', 2), get('7', 4), get('ENOENT', 6)]), [], 'a move that never came back')
})

void t.test('attributes: planted violations are found, each', async (t) => {
  const on = callOn('attributes-0')
  const stat = (mode: number, mtime: number, from: number) =>
    on({ do: 'stat' }, attributesText({ mode, owner: 0, mtime }), from, from + 1)
  const chmod = on({ do: 'chmod', value: 0o600 }, 'ok', 2, 3)
  const utimes = on({ do: 'utimes', value: 5 }, 'ok', 4, 5)
  t.same(violations([stat(0o644, 1, 0), chmod, stat(0o600, 1, 3.5), utimes, stat(0o600, 5, 6)]), [])
  t.equal(violations([chmod, stat(0o644, 1, 4)]).length, 1, 'a stale mode')
  t.equal(violations([chmod, utimes, stat(0o600, 1, 6)]).length, 1, 'a stale time')
  t.equal(violations([chmod, utimes, stat(0o644, 5, 6)]).length, 1, 'the later change without the earlier one')
})

void t.test('of several registers the one at fault is named', async (t) => {
  const right = [write('a', 0, 1), read('a', 2, 3)]
  const wrong = callOn('sized-0')({ do: 'read' }, '12', 0, 1)
  const found = violations([...right, wrong])
  t.equal(found.length, 1)
  t.match(found[0], /^sized-0/)
})

void t.test('4,000 calls of eight processes are judged, right and with one wrong answer', async (t) => {
  for (const seed of [1, 2]) {
    const right = longHistory(seed, 4000)
    t.same(violations(right), [], `seed ${seed}`)
    const at = right.findIndex((call, index) => index > 2000 && call.op.do === 'read' && call.returned !== undefined)
    const wrong = right.map((call, index) => (index === at ? { ...call, result: 'never written' } : call))
    t.equal(violations(wrong).length, 1, `seed ${seed}, with a wrong answer`)
  }
})

/** Eight processes, each with one call after the other; each takes effect at a random moment of its time. */
function longHistory(seed: number, count: number): RegisterCall[] {
  const random = new Prng(seed)
  const free = Array.from({ length: 8 }, () => random.between(0, 10))
  const planned = Array.from({ length: count }, (_, n) => {
    const by = n % free.length
    const invoked = (free[by] ?? 0) + random.exponential(3)
    const returned = invoked + random.exponential(4)
    free[by] = returned
    return { n, invoked, returned, effective: random.between(invoked, returned), lost: random.chance(0.0005) }
  })
  let value = '0'
  return planned
    .sort((a, b) => a.effective - b.effective)
    .map(({ n, invoked, returned, lost }) => {
      if (random.chance(0.5)) return read(value, invoked, returned)
      value = `v${n}`
      return write(value, invoked, lost ? undefined : returned)
    })
}
