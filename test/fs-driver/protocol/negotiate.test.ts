import t from 'tap'
import { capabilities, has, negotiate, wantedCapabilities } from '../../../fs-driver/protocol/negotiate.ts'

const offer = { major: 7, minor: 45, maxReadahead: 131072, flags: 0x5fd73fffffbn } // Linux 6.18

void t.test('what is offered and wanted is used, and nothing else', async (t) => {
  const answer = negotiate(offer, wantedCapabilities)
  if (answer.kind !== 'agreed') return t.fail(answer.kind)
  t.equal(answer.negotiated.flags, wantedCapabilities, 'this kernel offers all that is wanted')
  for (const never of ['WRITEBACK_CACHE', 'AUTO_INVAL_DATA'] as const) {
    t.notOk(has(answer.negotiated, never), never)
  }
  const older = negotiate({ ...offer, minor: 31, flags: capabilities.BIG_WRITES }, wantedCapabilities)
  t.match(older, { kind: 'agreed', negotiated: { minor: 31, flags: capabilities.BIG_WRITES } })
})

void t.test('other versions', async (t) => {
  t.match(negotiate({ ...offer, major: 8, minor: 0 }, wantedCapabilities), { kind: 'again' })
  t.match(negotiate({ ...offer, minor: 46 }, wantedCapabilities), { kind: 'agreed', negotiated: { minor: 45 } })
  t.match(negotiate({ ...offer, minor: 30 }, wantedCapabilities), { kind: 'refused' })
  t.match(negotiate({ ...offer, major: 6 }, wantedCapabilities), { kind: 'refused' })
})
