import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type AnyOperation, operate } from '../../server/filesystem/operate.ts'
import type { View } from '../../server/filesystem/view.ts'
import { prefixes } from '../../server/store/keys.ts'
import { checkout } from '../fixtures/program.ts'
import { seed } from '../fixtures/random.ts'
import { mustRun } from '../fixtures/run.ts'
import { type Command, callers, histories, weights } from './commands.ts'
import { oneOfEach } from './one-of-each.ts'
import { play, type Step } from './play.ts'
import { isErrno, script } from './script.ts'

// The suite's limit is for a machine of its own; this one is bound by the number of sequences.
t.setTimeout(600_000)

const sequences = Number(process.env.BANYAN_MODEL_RUNS ?? 20_000)

/** Every operation succeeds and is refused, but for those that never are. */
const neverRefused: readonly string[] = ['statfs', 'releaseLocks', 'noteReads', 'releaseHolds']
const expectedOutcomes = [
  'lock denied',
  ...Object.keys(weights).flatMap((kind) =>
    neverRefused.includes(kind) ? [`${kind} done`] : [`${kind} done`, `${kind} refused`],
  ),
]

void t.test('operations do what the model does', { timeout: 600_000 }, async (t) => {
  const replay = `BANYAN_SEED=${seed} BANYAN_MODEL_RUNS=${sequences}`
  t.comment(`${sequences} sequences; replay: ${replay}`)
  const tally = new Map<string, number>()
  const property = fc.property(histories, (history) => {
    const trace: Step[] = []
    play(history, { trace })
    for (const step of trace) count(tally, step)
  })
  const result = withoutStacks(() => fc.check(property, { numRuns: sequences, seed }))
  const history = result.counterexample?.[0]
  if (history !== undefined) t.comment(`replay: ${replay}\n${scriptOf(history)}\n${String(result.errorInstance)}`)
  t.equal(result.numRuns, sequences, `no sequence of ${sequences} differs`)
  const rarest = [...tally].sort(([, a], [, b]) => a - b).slice(0, 5)
  t.comment(`rarest: ${rarest.map(([outcome, times]) => `${outcome} ${times}`).join(', ')}`)
  const rare = expectedOutcomes.filter((outcome) => (tally.get(outcome) ?? 0) < sequences / 1000)
  t.same(sequences >= 3000 ? rare : [], [], 'every operation was done, and refused, many times')
})

function count(tally: Map<string, number>, { command, expected }: Step): void {
  if (command.kind !== 'run') return
  const said = isErrno(expected) ? 'refused' : expected === 'denied' ? 'denied' : 'done'
  const outcome = `${command.op.$case} ${said}`
  tally.set(outcome, (tally.get(outcome) ?? 0) + 1)
}

/** Most of the time of a run went into stacks of refusals, which nobody looks at. */
function withoutStacks<T>(run: () => T): T {
  const before = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return run()
  } finally {
    Error.stackTraceLimit = before
  }
}

/** What a history came to, up to the step that differs, as a script. */
function scriptOf(history: readonly Command[], execute: typeof operate = operate): string {
  const trace: Step[] = []
  try {
    play(history, { trace, execute })
  } catch {
    // It is known to fail: what it did until then is wanted.
  }
  return script(trace)
}

const everybodyIsRoot: typeof operate = (view, { pid }, op, at) =>
  operate(view, { ...callers.root, groups: [], pid }, op, at)

const withoutWas = ({ $case, value }: Extract<AnyOperation, { $case: 'noteReads' }>): AnyOperation => ({
  $case,
  value: { reads: value.reads.map((read) => ({ ...read, wasNs: undefined })) },
})

/** Faults of the kind that a change to an operation could bring in. */
const faults: Readonly<Record<string, typeof operate>> = {
  'everybody is root': everybodyIsRoot,
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
  'all sessions are one': (view, caller, op, at) => operate(view, caller, op, { ...at, session: 1n }),
  'a lock that was denied was not given up': (view, caller, op, at) => {
    const outcome = operate(view, caller, op, at)
    const isDenied = outcome.reply.$case === 'locked' && !outcome.reply.value.granted
    return isDenied ? { ...outcome, effects: [] } : outcome
  },
  'what was held back under a hold that stands no more is written': (view, caller, op, at) =>
    operate(view, caller, op.$case === 'write' ? { $case: 'write', value: { ...op.value, hold: undefined } } : op, at),
  'a hold is given at all times': (view, caller, op, at) => operate(view, caller, op, { ...at, mayHold: true }),
  'a read is noted whatever has been set since': (view, caller, op, at) =>
    operate(view, caller, op.$case === 'noteReads' ? withoutWas(op) : op, at),
  'the umask is ignored': (view, caller, op, at) =>
    operate(view, caller, op.$case === 'create' ? { $case: 'create', value: { ...op.value, umask: 0 } } : op, at),
}

/** Runs a script in an empty folder of this machine's own file system; gives what came out of each line. */
async function replayed(t: Test, text: string): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const { stdout } = await mustRun('python3', [join(checkout, 'test/model/replay.py'), folder], { input: text })
  return stdout.trimEnd().split('\n')
}

/** What the model says in a script, a line each. */
const expectedIn = (text: string): string[] =>
  [...text.matchAll(/^\w+\.\w+\(.*\) {2}# (\w+)$/gm)].map(([, said = '']) => said)
const withoutValue = (line: string): string => /: (\w+)/.exec(line)?.[1] ?? line

void t.test('a counterexample comes as a script of few calls, and anybody can run it', async (t) => {
  const result = fc.check(
    fc.property(histories, (history) => play(history, { execute: everybodyIsRoot })),
    { numRuns: 500, seed: 4 }, // always the same one: a file system of this machine may differ in the oddest of calls
  )
  const text = scriptOf(result.counterexample?.[0] ?? [], everybodyIsRoot)
  t.comment(text)
  const expected = expectedIn(text)
  t.ok(expected.length > 0 && expected.length <= 4, `${expected.length} calls`)
  t.match(expected.at(-1), /^E(ACCES|PERM)$/, 'the last is the one that was allowed and must not be')
  t.same((await replayed(t, text)).map(withoutValue), expected, 'the file system below says what the model says')
})

void t.test('a script of every kind of call runs on another file system and ends as the model says', async (t) => {
  const text = scriptOf(oneOfEach)
  const expected = expectedIn(text)
  t.equal(expected.length, oneOfEach.length)
  t.same((await replayed(t, text)).map(withoutValue), expected)
})

const withoutXattrs = (view: View): View => ({
  get: (key) => (key.startsWith(prefixes.xattrs) ? undefined : view.get(key)),
})

for (const [name, faulty] of Object.entries(faults)) {
  void t.test(`the model notices: ${name}`, async (t) => {
    const result = fc.check(
      fc.property(histories, (history) => play(history, { execute: faulty })),
      { numRuns: 10_000, seed, endOnFailure: true },
    )
    t.ok(result.failed, `found after ${result.numRuns} sequences; seed ${seed}`)
  })
}
