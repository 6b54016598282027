import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import { KnownVolumes } from '../../../cli/drive/known-volumes.ts'
import { HandleTable } from '../../../fs-driver/driver/handle-table.ts'
import { HeldLocks } from '../../../fs-driver/driver/held-locks.ts'
import { Places, planInTree } from '../../../fs-driver/driver/plan-in-tree.ts'
import { SharedKernel, VolumeDrivers } from '../../../fs-driver/driver/volume-drivers.ts'
import { LeaseFile, readLeaseEnd } from '../../../fs-driver/kernel/lease-file.ts'
import { frameOf } from '../../../fs-driver/protocol/frame.ts'
import { opcodes } from '../../../fs-driver/protocol/opcode.ts'
import type { ReplyBody } from '../../../fs-driver/protocol/reply.ts'
import { parseRequest, type Request } from '../../../fs-driver/protocol/request.ts'
import { errnos } from '../../../proto/errno.ts'
import type { DirectoryEntry } from '../../../proto/generated/file-service.ts'
import { inodeInTree } from '../../../proto/volume-number.ts'
import { attributesOf } from '../../fixtures/attributes.ts'
import { kernelRequest, wire } from '../../fixtures/wire.ts'

const [ours, theirs] = [inodeInTree(0, 7n), inodeInTree(2, 7n)]
const places = new Places()
places.add(ours, Buffer.from('work'), 2)

const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  return bytes
}
const names = (...all: string[]): Buffer => Buffer.from(all.map((name) => `${name}\0`).join(''))
const message = (op: keyof typeof opcodes, nodeid: bigint, ...body: Buffer[]): Buffer<ArrayBuffer> =>
  kernelRequest(opcodes[op].code, Buffer.concat(body), { nodeid })

function request(...of: Parameters<typeof message>): Request {
  const bytes = message(...of)
  const parsed = parseRequest(frameOf(bytes), bytes.length, { minor: 40, flags: 0n, maxReadahead: 0 })
  if (parsed.op === 'malformed' || parsed.op === 'unknown') throw new Error(`it is ${parsed.op}`)
  return parsed
}

function plan(...of: Parameters<typeof message>): string {
  const planned = planInTree(places, request(...of))
  if (planned.kind === 'call') return planned.call.$case
  const { reply } = planned.kind === 'local' ? planned : { reply: undefined }
  const errno = reply?.kind === 'error' ? reply.errno : undefined
  return Object.entries(errnos).find(([, number]) => number === errno)?.[0] ?? planned.kind
}

void t.test('the place of a volume shows its root, and stays where it is', (t) => {
  const planned = planInTree(places, request('LOOKUP', ours, names('work')))
  if (planned.kind !== 'call') throw new Error(`it is ${planned.kind}`)
  t.same(planned.call, { $case: 'getattr', value: { ino: inodeInTree(2, 1n) } })
  const attributes = attributesOf(inodeInTree(2, 1n))
  t.same(planned.answer({ $case: 'attributes', value: attributes }), { kind: 'entry', attributes })
  t.equal(plan('LOOKUP', ours, names('work2')), 'lookup')
  t.equal(plan('LOOKUP', theirs, names('work')), 'lookup', 'another directory')
  t.equal(plan('RMDIR', ours, names('work')), 'EBUSY')
  t.equal(plan('RMDIR', ours, names('other')), 'rmdir')
  t.equal(plan('RENAME', ours, u64(9n), names('work', 'x')), 'EBUSY')
  t.equal(plan('RENAME', 9n, u64(ours), names('x', 'work')), 'EBUSY')
  t.equal(plan('RENAME', ours, u64(9n), names('x', 'y')), 'rename')
  t.end()
})

void t.test('nothing goes from one volume into another', (t) => {
  t.equal(plan('RENAME', ours, u64(theirs), names('x', 'y')), 'EXDEV')
  t.equal(plan('LINK', ours, u64(theirs), names('x')), 'EXDEV')
  t.equal(plan('LINK', theirs, u64(theirs), names('x')), 'link')
  const copy = (to: bigint): string =>
    plan('COPY_FILE_RANGE', ours, Buffer.alloc(16), u64(to), Buffer.alloc(16), u64(1n), Buffer.alloc(8))
  t.equal(copy(theirs), 'EXDEV')
  t.equal(copy(9n), 'copyRange')
  t.end()
})

void t.test('a listing says nothing of what stands in the place of a volume, but its name', (t) => {
  const planned = planInTree(places, request('READDIRPLUS', ours, Buffer.alloc(16), wire('00100000'), Buffer.alloc(20)))
  if (planned.kind !== 'call') throw new Error(`it is ${planned.kind}`)
  const entry = (name: string, ino: bigint): DirectoryEntry => {
    return { name: Buffer.from(name), ino, type: 4, cookie: ino, attributes: attributesOf(ino) }
  }
  const nodeids = (entries: DirectoryEntry[]): bigint[] => {
    const body = planned.answer({ $case: 'listing', value: { entries, end: true, parent: 1n } })
    if (body.kind !== 'listing') throw new Error(`it is ${body.kind}`)
    const size = body.data.length / entries.length // names of one length
    return entries.map((_, index) => Buffer.from(body.data).readBigUInt64LE(index * size))
  }
  t.same(nodeids([entry('work', 20n), entry('play', 21n)]), [0n, 21n])
  t.end()
})

void t.test('a request goes to the driver of its volume', (t) => {
  const heard: string[] = []
  const replies: ReplyBody[] = []
  const kernel = {
    reply: (_: bigint, body: ReplyBody) => {
      replies.push(body)
      return true
    },
  }
  const driver = (name: string) => ({
    inFlight: 2,
    waitingFor: () => [{ op: name, ino: 1n, pid: 1, forMs: 1 }],
    onMessage: (): 'done' => {
      heard.push(name)
      return 'done'
    },
  })
  const drivers = new VolumeDrivers(kernel, places, driver('first'))
  const send = (...of: Parameters<typeof message>): string => {
    heard.length = 0
    const bytes = message(...of)
    drivers.onMessage(frameOf(bytes), bytes.length)
    return heard.join(' ')
  }
  t.equal(send('GETATTR', ours, Buffer.alloc(16)), 'first')
  drivers.add(2, driver('second'))
  t.equal(send('GETATTR', ours, Buffer.alloc(16)), 'first')
  t.equal(send('GETATTR', theirs, Buffer.alloc(16)), 'second')
  t.equal(send('LOOKUP', ours, names('work')), 'second', 'whose root is looked up')
  t.equal(send('LOOKUP', ours, names('works')), 'first')
  t.equal(send('INTERRUPT', 0n, u64(4n)), 'first second', 'it says of whom only the number of a request')
  t.equal(drivers.inFlight, 4)
  t.strictSame(
    drivers.waitingFor(0).map(({ op }) => op),
    ['first', 'second'],
  )
  t.same(replies, [])
  t.equal(send('FORGET', inodeInTree(3, 1n), u64(1n)), '')
  t.same(replies, [], 'what has no answer gets none')
  t.equal(send('GETATTR', inodeInTree(3, 1n), Buffer.alloc(16)), '')
  t.same(replies, [{ kind: 'error', errno: errnos.ESTALE }])
  t.end()
})

void t.test('nothing is taken from the kernel while any driver has too much', (t) => {
  const said: string[] = []
  const shared = new SharedKernel({
    reply: () => true,
    pause: () => void said.push('pause'),
    resume: () => void said.push('resume'),
  })
  const [one, other] = [shared.share(), shared.share()]
  one.pause()
  other.pause()
  one.resume()
  t.same(said, ['pause'])
  other.resume()
  t.same(said, ['pause', 'resume'])
  t.end()
})

void t.test('a file that is being made is one of its volume', (t) => {
  const handles = new HandleTable()
  handles.use(inodeInTree(2, 50n))
  const known = handles.making(ours)
  t.ok(handles.isOpen(60n), 'whichever it will be')
  t.notOk(handles.isOpen(inodeInTree(2, 60n)))
  handles.made(known)
  t.notOk(handles.isOpen(60n))
  t.end()
})

void t.test('the end of a session is that of its locks', (t) => {
  const held = new HeldLocks()
  const lock = (ino: bigint, handle: bigint): void => {
    const range = { ino, owner: 1n, flock: true, exclusive: true, start: 0n, end: 9n }
    held.trying(range, handle)
    held.tried(range)
  }
  lock(ours, 1n)
  lock(theirs, 2n)
  held.lose(2)
  t.same([held.isLost(1n), held.isLost(2n)], [false, true])
  t.end()
})

void t.test('the supervisor hears of the leases that end first; the next driver finds what each volume left', (t) => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'banyan-leases-')), 'leases')
  t.teardown(() => rmSync(path.dirname(file), { recursive: true }))
  const leases = new LeaseFile(file, { resend: false })
  const [first, second] = [leases.of(0), leases.of(2)]
  const endsInMs = (): number => Number(readLeaseEnd(file) - process.hrtime.bigint()) / 1e6
  const now = performance.now()
  first.setUntil(now + 60_000)
  second.setUntil(now + 30_000)
  t.ok(endsInMs() < 31_000 && endsInMs() > 20_000)
  second.setUntil(undefined)
  t.ok(endsInMs() > 50_000)
  first.setUntil(undefined)
  t.equal(readLeaseEnd(file), 0n)
  first.addPages(ours)
  second.addPages(theirs)
  second.gaveAttributes(theirs)
  leases.close()
  const next = new LeaseFile(file, { resend: true })
  t.same(next.of(0).left, { pages: [ours], attributes: [] })
  t.same(next.of(2).left, { pages: [theirs], attributes: [theirs] })
  next.close()
  t.end()
})

void t.test('what is heard of leases after the mount has ended is written nowhere', (t) => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'banyan-leases-')), 'leases')
  t.teardown(() => rmSync(path.dirname(file), { recursive: true }))
  const leases = new LeaseFile(file, { resend: false })
  leases.close()
  const late = leases.of(0)
  late.setUntil(performance.now() + 1000)
  late.addPages(ours)
  late.gaveAttributes(ours)
  t.equal(readLeaseEnd(file), 0n)
  t.end()
})

void t.test('the next driver knows the volumes before the directory says them', (t) => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'banyan-known-')), 'volumes')
  t.teardown(() => rmSync(path.dirname(file), { recursive: true }))
  const work = { number: 2, volume: 'work', at: '/work', parent: 2n ** 60n + 1n, name: 'work' }
  new KnownVolumes(file, { resend: false }).add(work)
  const known = new KnownVolumes(file, { resend: true })
  known.add(work)
  t.same(known.left, [work])
  t.same(new KnownVolumes(file, { resend: true }).left, [work], 'once')
  t.same(new KnownVolumes(file, { resend: false }).left, [], 'another mount has another tree')
  t.end()
})
