import type { Advert } from '../../proto/advert.ts'
import type { Versioned, VolumeRecord } from '../../replication/record.ts'
import type { Directory } from '../../server/directory/directory.ts'
import type { Host } from '../host.ts'

/** A directory that does not answer in that time is away. */
const lookMs = 2000

/** What the directory says of a volume; nothing, while it is away. */
export interface Known {
  readonly record: VolumeRecord | undefined
  readonly adverts: readonly Advert[]
}

/** One look into the directory, from this host: addresses are those that lead there from here. */
export async function lookUp(host: Host, volume: string): Promise<Known> {
  const directory = await host.openDirectory()
  try {
    const record = directory.readRecord(volume).catch(() => undefined)
    const adverts = advertsNow(directory, volume)
    return { record: (await record)?.record, adverts: await adverts }
  } finally {
    await directory.close()
  }
}

/** The same of all volumes, of `first` in any case, which comes first; the others by name. */
export async function lookUpAll(host: Host, first: string): Promise<ReadonlyMap<string, Known>> {
  const directory = await host.openDirectory()
  try {
    const ofFirst = advertsNow(directory, first)
    const records = await directory.readRecords().catch(() => new Map<string, Versioned>())
    const others = [...records.keys()].filter((name) => name !== first).toSorted()
    const adverts = await Promise.all([ofFirst, ...others.map((name) => advertsNow(directory, name))])
    return new Map(
      [first, ...others].map((name, index) => [
        name,
        { record: records.get(name)?.record, adverts: adverts[index] ?? [] },
      ]),
    )
  } finally {
    await directory.close()
  }
}

function advertsNow(directory: Directory, volume: string): Promise<readonly Advert[]> {
  return new Promise((resolve) => {
    const answer = (adverts: readonly Advert[]): void => {
      clearTimeout(timer)
      resolve(adverts) // the watch ends with the directory
    }
    const timer = setTimeout(() => resolve([]), lookMs)
    directory.watch(volume, { record: () => {}, death: () => {}, providers: answer })
  })
}
