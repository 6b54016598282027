import type { Advert } from '../../proto/advert.ts'
import type { Directory } from './directory.ts'

/**
 * The same directory, as seen from one machine of several: adverts name the address that leads there from here. On the
 * same machine that is the Unix socket; elsewhere the node's name is part of the address, so that nobody else may answer
 * there. Who can't be reached from here is not named.
 */
export function seenFrom(host: string, directory: Directory): Directory {
  return {
    readRecord: (...asked) => directory.readRecord(...asked),
    readRecords: () => directory.readRecords(),
    watchRecords: (onChange) => directory.watchRecords(onChange),
    createRecord: (...asked) => directory.createRecord(...asked),
    swapRecord: (...asked) => directory.swapRecord(...asked),
    advertise: (...asked) => directory.advertise(...asked),
    attestDeath: (...asked) => directory.attestDeath(...asked),
    watch: (volume, watcher) =>
      directory.watch(volume, {
        record: (versioned) => watcher.record(versioned),
        death: (...dead) => watcher.death(...dead),
        providers: (adverts) => watcher.providers(reachable(host, adverts)),
      }),
  }
}

function reachable(host: string, adverts: readonly Advert[]): readonly Advert[] {
  return adverts.flatMap((advert) => {
    if (advert.host === host) return [advert]
    return advert.remote === '' ? [] : [{ ...advert, address: `${advert.node}@${advert.remote}` }]
  })
}
