import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import type { CallIdentity, FileCall, FileClient, FileResult } from '../../../fs-driver/router/file-client.ts'
import { numberedClient, numberedHolds, numberedLeases } from '../../../fs-driver/router/numbered-client.ts'
import { inodeInTree } from '../../../proto/volume-number.ts'
import { attributesOf } from '../../fixtures/attributes.ts'
import { checkout } from '../../fixtures/program.ts'

const of = (ino: bigint): bigint => inodeInTree(3, ino)
const caller = { uid: 1, gid: 1, groups: [], pid: 1 }

/** 64-bit numbers of file-service.proto that are no inodes. All others have to be changed on their way. */
const noInodes = new Set(
  `ageNs attach available blockSize blocks children cookie end entries files filesFree free handle hold length
   number offset owner position positionEpoch rdev round seen seenEpoch seq session size sourceOffset start take
   wait`.split(/\s+/),
)

void t.test('every inode of the protocol is known as one', (t) => {
  const text = readFileSync(path.join(checkout, 'proto/file-service.proto'), 'utf8').replaceAll(/\/\/.*$/gm, '')
  const found = [...text.matchAll(/\buint64 (\w+) = \d+/g)].map(([, name = '']) =>
    name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
  )
  const inodes = [...new Set(found)].filter((name) => !noInodes.has(name)).toSorted((a, b) => a.localeCompare(b))
  // `dropped` and `openOrphans` are told by takeDropped and isOpen, which are asked of `orphans`.
  t.equal(
    inodes.join(' '),
    'dropped first ino inos invalidated leased newIno newParent openOrphans orphans parent source',
  )
  t.end()
})

void t.test('servers hear of inodes as the volume numbers them, and are heard as the mount does', async (t) => {
  const asked: { call: FileCall; how: CallIdentity }[] = []
  let answer: FileResult = { $case: 'done', value: {} }
  const servers: FileClient = {
    call: async (call, _, how) => {
      asked.push({ call, how })
      how.onOutcome?.({ kind: 'result', result: answer }, [4n])
      return answer
    },
  }
  const client = numberedClient(3, servers)
  const heard: unknown[] = []
  const call = async (operation: FileCall, result: FileResult): Promise<FileResult> => {
    answer = result
    const onOutcome: CallIdentity['onOutcome'] = (outcome, leased) => void heard.push(outcome, leased)
    return await client.call(operation, caller, { unique: 2n, step: 0, invalidated: [of(8n)], onOutcome })
  }
  const name = Buffer.from('n')
  const value = { parent: of(5n), name, newParent: of(6n), newName: name, flags: 0 }
  await call({ $case: 'rename', value }, { $case: 'done', value: {} })
  t.same(asked[0]?.call, { $case: 'rename', value: { ...value, parent: 5n, newParent: 6n } })
  t.equal(asked[0]?.call.$case === 'rename' && asked[0].call.value.name, name, 'bytes are not copied')
  t.same(asked[0]?.how.invalidated, [8n])
  t.same(heard, [{ kind: 'result', result: { $case: 'done', value: {} } }, [of(4n)]])

  const making = { $case: 'mkdir', value: { parent: of(5n), name, mode: 0, umask: 0, newIno: of(9n) } } as const
  const step = {
    call: { kind: making },
    caller,
    atNs: 1n,
    under: { ino: of(5n), number: 77n },
    also: [{ ino: of(6n), number: 78n }],
  }
  await call({ $case: 'batch', value: { steps: [step] } }, { $case: 'done', value: {} })
  const sent = { ...making, value: { ...making.value, parent: 5n, newIno: 9n } }
  t.same(asked[1]?.call, {
    $case: 'batch',
    value: {
      steps: [{ ...step, call: { kind: sent }, under: { ino: 5n, number: 77n }, also: [{ ino: 6n, number: 78n }] }],
    },
  })

  const listed = (to: (ino: bigint) => bigint): FileResult => {
    const entry = { name, ino: to(7n), type: 8, cookie: 7n, attributes: attributesOf(to(7n)) }
    return { $case: 'listing', value: { entries: [entry], end: true, parent: to(1n) } }
  }
  const readdir = { $case: 'readdir', value: { ino: of(1n), cookie: 0n, count: 1, attributes: true } } as const
  t.same(
    await call(
      readdir,
      listed((ino) => ino),
    ),
    listed(of),
  )
  const numbers = await call(
    { $case: 'takeNumbers', value: { count: 5 } },
    { $case: 'numbers', value: { first: 9n, count: 5 } },
  )
  t.same(numbers, { $case: 'numbers', value: { first: of(9n), count: 5 } })
  await t.rejects(call({ $case: 'getattr', value: { ino: 5n } }, answer), /none of volume 3/)
})

void t.test('so are those who keep leases and holds', async (t) => {
  const told: unknown[] = []
  const leases = numberedLeases(3, {
    onRecall: async (recall) => void told.push(recall.inos),
    onProlonged: (until) => void told.push(until),
    takeDropped: () => [of(6n)],
    onDroppedHeard: () => void told.push('heard'),
    onDetached: async () => void told.push('detached'),
    onTick: () => void told.push('tick'),
  })
  await leases.onRecall({ number: 1n, inos: [5n], position: 0n, everything: false })
  t.same(leases.takeDropped(), [6n])
  leases.onProlonged(9)
  leases.onDroppedHeard()
  await leases.onDetached()
  leases.onTick()
  const holds = numberedHolds(3, {
    onRecallHold: (hold) => void told.push(hold),
    onSessionEnded: () => void told.push('ended'),
  })
  holds.onRecallHold({ ino: 5n, number: 70n })
  holds.onSessionEnded()
  t.same(told, [[of(5n)], 9, 'heard', 'detached', 'tick', { ino: of(5n), number: 70n }, 'ended'])
})
