import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t, { type Test } from 'tap'
import { type HeldStep, StepFiles } from '../../../fs-driver/write-behind/step-files.ts'

const stepOf = (n: number): HeldStep => ({
  unique: BigInt(n * 2),
  ino: BigInt(100 + n),
  victim: n % 2 === 0 ? undefined : BigInt(200 + n),
  step: {
    call: {
      kind: {
        $case: 'write',
        value: {
          ino: BigInt(100 + n),
          offset: 0n,
          data: Buffer.alloc(n * 10, n),
          append: false,
          killPrivileges: false,
        },
      },
    },
    caller: { uid: n, gid: 0, groups: [1, 2], pid: 7 },
    atNs: 5n,
    under: { ino: 1n, number: 9n },
    also: [{ ino: 2n, number: 10n }],
  },
})

function folder(t: Test): string {
  const made = mkdtempSync(path.join(tmpdir(), 'banyan-steps-'))
  t.teardown(() => rmSync(made, { recursive: true }))
  return path.join(made, 'steps')
}

/** What the next driver finds: numbers of batches, and of the requests in them. */
const leftIn = (at: string, { resend = true } = {}): [bigint, bigint[]][] => {
  const files = new StepFiles(at, { resend })
  files.close()
  return files.left.map(({ number, steps }) => [number, steps.map(({ unique }) => unique)])
}

void t.test('the next driver of the mount finds what was held back, in order, until it is done', (t) => {
  const at = folder(t)
  const files = new StepFiles(at, { resend: false })
  for (const n of [1, 2]) files.append(20n, stepOf(n))
  files.append(3n, stepOf(3))
  files.close()
  const next = new StepFiles(at, { resend: true })
  t.same(next.left, [
    { number: 3n, steps: [stepOf(3)] },
    { number: 20n, steps: [stepOf(1), stepOf(2)] },
  ])
  next.remove(3n)
  t.same(leftIn(at), [[20n, [2n, 4n]]])
  t.same(leftIn(at, { resend: false }), [], 'another mount’s is nothing to this one')
  t.same(readdirSync(at), [])
  t.end()
})

void t.test('of what was being written when the driver died the whole steps are there', (t) => {
  const at = folder(t)
  const files = new StepFiles(at, { resend: false })
  for (const n of [1, 2, 3]) files.append(5n, stepOf(n))
  files.close()
  const file = path.join(at, '5')
  const whole = readFileSync(file)
  let before = 0
  for (let length = 0; length <= whole.length; length++) {
    writeFileSync(file, whole)
    truncateSync(file, length)
    const [batch] = leftIn(at)
    const count = batch?.[1].length ?? 0
    if (count < before) t.fail(`${count} steps are left of ${length} bytes, and ${before} were left of fewer`)
    before = count
  }
  t.equal(before, 3)
  t.end()
})

void t.test('what is not ours is taken away', (t) => {
  const at = folder(t)
  new StepFiles(at, { resend: false }).close()
  for (const name of ['x', '-1', '7', '123456789012345678901'])
    writeFileSync(path.join(at, name), 'nothing of the kind')
  t.same(leftIn(at), [])
  t.same(readdirSync(at), [])
  t.end()
})
