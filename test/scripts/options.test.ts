import { join } from 'node:path'
import t from 'tap'
import { checkout } from '../fixtures/program.ts'
import { run } from '../fixtures/run.ts'

for (const script of ['posix', 'bench', 'soak', 'simulate']) {
  void t.test(`${script} says how it is used, also to who asks for what it does not know`, async (t) => {
    const program = ['--import=tsx', join(checkout, `scripts/${script}.ts`)]
    const usage = new RegExp(`^Use: npm run ${script} -- .*\\n( +npm run ${script} -- .*\\n)*$`)
    t.match(await run(process.execPath, [...program, '--help'], { cwd: checkout }), {
      code: 0,
      stdout: usage,
      stderr: '',
    })
    const refused = await run(process.execPath, [...program, '--unheard-of'], { cwd: checkout })
    t.match(refused, { code: 2, stdout: '' })
    t.match(refused.stderr, /^Unknown option '--unheard-of'.*\nUse: npm run/)
  })
}
