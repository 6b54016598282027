/**
 * Writes docs/test-times.md from the report of a test run:
 *
 *     BANYAN_TEST_REPORT=/tmp/report.json npm test && npx tsx scripts/test-times.ts /tmp/report.json
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { checkout } from '../test/fixtures/program.ts'

const report = z.object({
  seconds: z.number(),
  passed: z.number(),
  files: z.array(z.object({ file: z.string(), seconds: z.number(), passed: z.number() })),
})

const [file] = process.argv.slice(2)
if (file === undefined) throw new Error('usage: test-times REPORT')
const { seconds, passed, files } = report.parse(JSON.parse(readFileSync(file, 'utf8')))

/** A suite is a folder of tests; those that take long stand by themselves. */
const longSeconds = 10
const suiteOf = (name: string, took: number): string =>
  took >= longSeconds ? name : name.slice(0, Math.max(0, name.lastIndexOf('/')))
const suites = new Map<string, { seconds: number; passed: number; files: number }>()
for (const one of files) {
  const suite = suiteOf(one.file, one.seconds)
  const sum = suites.get(suite) ?? { seconds: 0, passed: 0, files: 0 }
  suites.set(suite, { seconds: sum.seconds + one.seconds, passed: sum.passed + one.passed, files: sum.files + 1 })
}

const rows = [...suites]
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([name, sum]) => `| ${name} | ${sum.files} | ${sum.passed} | ${sum.seconds.toFixed(1)} |`)
const text = `# How long the tests take

\`npm test\` on ${cpus().length} cores, ${new Date().toISOString().slice(0, 10)}: ${passed} assertions in ${seconds.toFixed(0)} s. Two files run at once, but for
simulations, and for those that measure how long clients are held up. Long forms are \`npm run soak\`. Written by \`scripts/test-times.ts\`.

| suite | files | assertions | seconds |
|---|---:|---:|---:|
${rows.join('\n')}
`
writeFileSync(join(checkout, 'docs/test-times.md'), text)
