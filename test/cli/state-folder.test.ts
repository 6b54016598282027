import { lstatSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import t from 'tap'
import { runningHost } from '../../cli/host.ts'
import { prepareStateFolder, stateFolder } from '../../cli/state-folder.ts'

void t.test('sockets of any state folder fit into a socket address', async (t) => {
  const short = stateFolder('/var/banyan')
  t.equal(short.socket('s1'), '/var/banyan/run/s1.sock')
  for (const length of [50, 70, 80, 90, 100, 200]) {
    const long = stateFolder(`/${'d'.repeat(length)}`)
    t.ok(Buffer.byteLength(long.socket('up')) <= 107, long.socket('up'))
    t.equal(long.store('s1', 'main'), `/${'d'.repeat(length)}/s1`, 'only sockets stand elsewhere')
    t.equal(long.store('s1', 'work'), `/${'d'.repeat(length)}/s1@work`, 'each volume beside the first')
    t.equal(stateFolder(`/${'d'.repeat(length)}`).run, long.run, 'the same each time')
  }
  t.not(stateFolder(`/${'d'.repeat(200)}`).run, stateFolder(`/${'e'.repeat(200)}`).run)
})

void t.test('the folders are made, and only their owner may look into them', async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'banyan-state-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const state = stateFolder(path.join(folder, 'a/b'))
  prepareStateFolder(state)
  prepareStateFolder(state)
  for (const made of [state.root, state.run, path.dirname(state.log('s1'))])
    t.equal(lstatSync(made).mode & 0o777, 0o700, made)
  writeFileSync(path.join(folder, 'file'), '')
  t.throws(() => prepareStateFolder(stateFolder(path.join(folder, 'file/x'))), {
    name: 'Failure',
    message: /--state DIR/,
  })
})

void t.test('a command without a running up says so, and how to start one', async (t) => {
  t.throws(() => runningHost({ state: '/nowhere/at/all' }), {
    name: 'Failure',
    message:
      /no "banyan up" runs with the state folder \/nowhere\/at\/all.*Start it with "banyan up --state \/nowhere\/at\/all"/,
  })
})
