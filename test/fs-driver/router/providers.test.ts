import t from 'tap'
import { Providers } from '../../../fs-driver/router/providers.ts'
import { localAdvert } from '../../fixtures/local-advert.ts'

const [mirror, primary] = [localAdvert('s1'), localAdvert('s2', { role: 'primary' })]
const well = { cutOff: false }
/** As often as a driver asks. */
const tickMs = 50

function begin(): {
  providers: Providers
  clock: { ms: number }
  movesWithin: (ms: number, says: { cutOff: boolean }) => number
} {
  const clock = { ms: 0 }
  const providers = new Providers({ pinned: undefined, host: 'here' }, () => clock.ms)
  /** @returns how often within so long the driver would leave the mirror for another */
  const movesWithin = (ms: number, says: { cutOff: boolean }): number => {
    let moves = 0
    for (const end = clock.ms + ms; clock.ms < end; clock.ms += tickMs) {
      const to = providers.toMoveTo(mirror.node, says)
      if (to === undefined) continue
      moves++
      t.equal(providers.next()?.node, to.node, 'and it is the one that is tried then')
    }
    return moves
  }
  return { providers, clock, movesWithin }
}

void t.test('a provider that is better for a while is moved to', async (t) => {
  const { movesWithin, providers } = begin()
  providers.onAdverts([mirror, primary])
  t.equal(movesWithin(3_000, well), 0)
  t.ok(movesWithin(tickMs, well) > 0)
})

void t.test('one that failed a short while ago is not worth a move, until that is long ago', async (t) => {
  const { movesWithin, providers } = begin()
  providers.onAdverts([mirror, primary])
  providers.failed(primary.node)
  t.equal(movesWithin(9_000, well), 0)
  t.ok(movesWithin(5_000, well) > 0)
})

void t.test('who is served by nobody tries it all the same, and not again and again', async (t) => {
  const { clock, movesWithin, providers } = begin()
  providers.onAdverts([mirror, primary])
  clock.ms += 1_000
  providers.onAdverts([primary])
  providers.failed(primary.node)
  const cutOff = { cutOff: true }
  t.equal(movesWithin(3_000, cutOff), 0)
  t.equal(movesWithin(tickMs, cutOff), 1)
  providers.failed(primary.node)
  t.equal(movesWithin(3_000, cutOff), 0)
  t.equal(movesWithin(tickMs, cutOff), 1)
})
