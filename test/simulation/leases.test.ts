import t from 'tap'
import { origin } from '../../replication/entry.ts'
import type { Message } from '../../replication/message.ts'
import { calmDirectory } from './mixes.ts'
import { longJournal, Scenario } from './scenario.ts'

void t.test('below minInSync a primary answers only while those who left have promised not to take over', async (t) => {
  const scenario = new Scenario({ storage: longJournal, minInSync: 2 })
  const { world } = scenario
  const former = scenario.primary()
  scenario.change({ kind: 'write', object: 'r0', value: 'old' })
  const heal = scenario.cut(former)
  scenario.until('it is alone in the set', () => world.directory.current.record.inSync.length === 1)
  const reach = world.directory.cut(former.node)
  t.same(world.directory.current.record.inSync, [former.node])
  scenario.until('the others go on without it', () => world.directory.current.record.inSync.length === 2)
  scenario.change({ kind: 'write', object: 'r0', value: 'new' })
  const read = { kind: 'read', op: { kind: 'read', object: 'r0' }, seen: origin } as const
  t.equal(scenario.askAt(former.node, read), undefined, 'it has nothing to say')
  heal()
  reach()
  scenario.inSync()
  t.equal(scenario.askAt(former.node, read), 'new')
})

void t.test('who is being asked into the set may be in it already, and take over', async (t) => {
  const directory = { ...calmDirectory, delayMs: 500, jitterMs: 0.1 }
  const scenario = new Scenario({ storage: longJournal, members: 2, directory })
  const { world } = scenario
  const former = scenario.primary()
  scenario.change({ kind: 'write', object: 'r0', value: 'old' })
  scenario.cutOff(scenario.mirror(), () => scenario.wait(1000))
  scenario.until('the other is in the set again', () => world.directory.current.record.inSync.length === 2)
  const heal = scenario.cut(former) // before it can hear that
  const reach = world.directory.cut(former.node)
  scenario.until('the other leads', () => world.directory.current.record.primary !== former.node)
  scenario.change({ kind: 'write', object: 'r0', value: 'new' })
  const read = { kind: 'read', op: { kind: 'read', object: 'r0' }, seen: origin } as const
  t.equal(scenario.askAt(former.node, read), undefined, 'it has nothing to say')
  heal()
  reach()
  scenario.inSync()
})

void t.test('an answer to a dead process is none to its successor', async (t) => {
  const scenario = new Scenario({ storage: longJournal })
  const { world } = scenario
  const mirror = scenario.mirror()
  const answers: Message[] = []
  const send = world.sendMessage.bind(world)
  world.sendMessage = (from, to, message) => {
    if (message.kind === 'commitAnswer') answers.push(message)
    send(from, to, message)
  }
  const op = { kind: 'read', object: 'r0' } as const
  /** Reads at the mirror while it does not know yet that the change is committed; `meanwhile`: when it has asked. */
  const readDirty = (value: string, meanwhile: () => void): string | undefined => {
    scenario.changeNow({ kind: 'write', object: 'r0', value })
    let result: string | undefined
    mirror.process?.step(() => {
      mirror.process?.server.onCall({ kind: 'read', op, seen: origin }, (answer) => {
        if (answer.kind === 'done') result ??= answer.result
      })
    })
    meanwhile()
    scenario.step(() => result !== undefined)
    return result
  }
  t.equal(
    readDirty('old', () => {}),
    'old',
  )
  const [late] = answers
  t.ok(late, 'it had to ask')
  world.kill(mirror)
  world.revive(mirror)
  scenario.inSync()
  const found = readDirty('new', () => {
    const primary = scenario.primary().node
    if (late !== undefined) mirror.process?.step(() => mirror.process?.replica.onMessage(primary, late))
  })
  t.equal(found, 'new')
})
