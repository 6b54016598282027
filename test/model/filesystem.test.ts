import fc from 'fast-check'
import t from 'tap'
import { operate } from '../../server/filesystem/operate.ts'
import type { View } from '../../server/filesystem/view.ts'
import { prefixes } from '../../server/store/keys.ts'
import { seed } from '../fixtures/random.ts'
import { type Command, callers, histories, script } from './commands.ts'
import { play } from './play.ts'

// The suite's limit is for a machine of its own; this one is bound by the number of sequences.
t.setTimeout(600_000)

const sequences = Number(process.env.BANYAN_MODEL_RUNS ?? 3000)

void t.test('operations do what the model does', { timeout: 600_000 }, async (t) => {
  const replay = `BANYAN_SEED=${seed} BANYAN_MODEL_RUNS=${sequences}`
  t.comment(`${sequences} sequences; replay: ${replay}`)
  const result = fc.check(
    fc.property(histories, (history) => play(history)),
    { numRuns: sequences, seed },
  )
  const history = result.counterexample?.[0]
  if (history !== undefined) t.comment(`replay: ${replay}\n${traced(history)}\n${String(result.errorInstance)}`)
  t.equal(result.numRuns, sequences, `no sequence of ${sequences} differs`)
})

/** What a history came to, as a script. */
function traced(history: readonly Command[]): string {
  const trace: Command[] = []
  try {
    play(history, { trace })
  } catch {
    // It is known to fail: what it did until then is wanted.
  }
  return script(trace)
}

/** Faults of the kind that a change to an operation could bring in. */
const faults: Readonly<Record<string, typeof operate>> = {
  'everybody is root': (view, _caller, op, at) => operate(view, { ...callers.root, groups: [] }, op, at),
  'supplementary groups are forgotten': (view, caller, op, at) => operate(view, { ...caller, groups: [] }, op, at),
  'a blob is not cut when its file is': (view, caller, op, at) => {
    const outcome = operate(view, caller, op, at)
    return { ...outcome, effects: outcome.effects.filter(({ kind }) => kind !== 'blob.truncate') }
  },
  'a removed key stays': (view, caller, op, at) => {
    const outcome = operate(view, caller, op, at)
    return { ...outcome, effects: outcome.effects.filter(({ kind }) => kind !== 'delete') }
  },
  'an appended write goes where the kernel thought the end was': (view, caller, op, at) =>
    operate(view, caller, op.$case === 'write' ? { $case: 'write', value: { ...op.value, append: false } } : op, at),
  'ACLs are kept and nothing more': (view, caller, op, at) =>
    operate(op.$case.endsWith('xattr') ? view : withoutXattrs(view), caller, op, at),
  'flags of a rename are ignored': (view, caller, op, at) =>
    operate(view, caller, op.$case === 'rename' ? { $case: 'rename', value: { ...op.value, flags: 0 } } : op, at),
  'the umask is ignored': (view, caller, op, at) =>
    operate(view, caller, op.$case === 'create' ? { $case: 'create', value: { ...op.value, umask: 0 } } : op, at),
}

const withoutXattrs = (view: View): View => ({
  get: (key) => (key.startsWith(prefixes.xattrs) ? undefined : view.get(key)),
})

for (const [name, faulty] of Object.entries(faults)) {
  void t.test(`the model notices: ${name}`, async (t) => {
    const result = fc.check(
      fc.property(histories, (history) => play(history, { execute: faulty })),
      { numRuns: 500, seed, endOnFailure: true },
    )
    t.ok(result.failed, `found after ${result.numRuns} sequences; seed ${seed}`)
  })
}
