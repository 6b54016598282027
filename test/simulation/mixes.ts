import type { ClientProfile } from './client.ts'
import type { DirectoryProfile } from './directory.ts'
import type { NetworkProfile } from './network.ts'
import { operatorKinds } from './operator.ts'
import type { Prng } from './random.ts'
import type { StorageProfile } from './storage.ts'

/** What can go wrong, each for a while. */
export const faultKinds = [
  'kill',
  'killAtPlace',
  'hostCrash',
  'powerLoss',
  'stop',
  'pause',
  'cut',
  'cutOneWay',
  'isolate',
  'sever',
  'hold',
  'slowLink',
  'directoryDown',
  'directoryCut',
  'fullDisk',
  'hungDisk',
  'failedFlush',
  'flip',
  'handOver',
  'resyncFully',
  'rewatch',
  'lagWatch',
  'clockStep',
  'wipe',
  ...operatorKinds,
] as const
export type FaultKind = (typeof faultKinds)[number]

/** A sort of weather. Rates of faults are mean times between two of a kind, in ms. */
export interface Mix {
  readonly faults: Partial<Readonly<Record<FaultKind, number>>>
  /** How bad network, directory and disks are all the time. */
  readonly network: 'good' | 'lossy' | 'slow'
  readonly directory: 'good' | 'bad'
  /** Chance that a death is attested by a supervisor. */
  readonly attested: number
  /** Short histories with few calls, and as many faults: where it is the record that counts, not what is written. */
  readonly isShort?: true
}

export const mixes = {
  calm: { faults: { handOver: 3000 }, network: 'good', directory: 'good', attested: 1 },
  lossy: { faults: { hold: 2000, slowLink: 2000 }, network: 'lossy', directory: 'good', attested: 1 },
  crashes: { faults: { kill: 2500, killAtPlace: 2000 }, network: 'good', directory: 'good', attested: 0.8 },
  hostCrashes: {
    faults: { hostCrash: 2500, kill: 5000, powerLoss: 15000 },
    network: 'good',
    directory: 'good',
    attested: 0.8,
  },
  powerLoss: {
    faults: { powerLoss: 4000, hostCrash: 6000, killAtPlace: 6000 },
    network: 'good',
    directory: 'bad',
    attested: 0.8,
  },
  partitions: {
    faults: { cut: 2500, cutOneWay: 2500, isolate: 3500, sever: 3500, hold: 3000 },
    network: 'good',
    directory: 'good',
    attested: 1,
  },
  slow: { faults: { pause: 1000, slowLink: 1500, hungDisk: 6000 }, network: 'slow', directory: 'bad', attested: 1 },
  directory: {
    faults: { directoryDown: 4000, directoryCut: 2500, kill: 3500, isolate: 7000, sever: 5000, rewatch: 2000 },
    network: 'good',
    directory: 'bad',
    attested: 0.8,
  },
  stops: {
    faults: { stop: 2500, pause: 1000, kill: 7000, clockStep: 3000 },
    network: 'good',
    directory: 'good',
    attested: 0.9,
  },
  disks: {
    faults: { fullDisk: 4000, hungDisk: 4000, failedFlush: 5000, kill: 3500, wipe: 4000 },
    network: 'good',
    directory: 'good',
    attested: 0.9,
  },
  resyncs: {
    faults: { kill: 3000, killAtPlace: 1500, resyncFully: 3000, isolate: 4000, hostCrash: 7000 },
    network: 'lossy',
    directory: 'good',
    attested: 0.8,
  },
  /** Processes come and go faster than messages: much of what arrives was meant for somebody who is dead. */
  ghosts: {
    faults: { kill: 700, killAtPlace: 2500, slowLink: 700, hold: 3000 },
    network: 'lossy',
    directory: 'good',
    attested: 0.3,
  },
  rot: {
    faults: { flip: 1500, pause: 3000, handOver: 4000, resyncFully: 2500, wipe: 6000 },
    network: 'good',
    directory: 'good',
    attested: 1,
  },
  /** Somebody adds mirrors, takes them out, drains them and says how many are wanted, whatever else happens. */
  operators: {
    faults: {
      addMirror: 1200,
      removeMirror: 2500,
      drain: 2000,
      setMinInSync: 3000,
      kill: 4000,
      killAtPlace: 6000,
      isolate: 6000,
      sever: 7000,
      directoryCut: 5000,
      stop: 8000,
      hostCrash: 9000,
    },
    network: 'good',
    directory: 'bad',
    attested: 0.8,
  },
  /**
   * Everybody changes the record at once, by what was true a moment ago: members that are stopped, cut off and started
   * again, and whoever operates them; and what they hear of it comes late, or not at all.
   */
  races: {
    faults: {
      addMirror: 900,
      removeMirror: 1800,
      drain: 1300,
      setMinInSync: 2200,
      stop: 2000,
      kill: 2200,
      killAtPlace: 3000,
      isolate: 4000,
      sever: 4000,
      directoryCut: 2000,
      directoryDown: 8000,
      rewatch: 1500,
      lagWatch: 1000,
      handOver: 2000,
      hostCrash: 6000,
    },
    network: 'good',
    directory: 'bad',
    attested: 0.6,
    isShort: true,
  },
  everything: {
    faults: {
      addMirror: 6000,
      removeMirror: 15000,
      drain: 12000,
      setMinInSync: 15000,
      kill: 8000,
      killAtPlace: 8000,
      hostCrash: 12000,
      powerLoss: 30000,
      stop: 9000,
      pause: 5000,
      cut: 8000,
      cutOneWay: 8000,
      isolate: 12000,
      sever: 12000,
      hold: 8000,
      slowLink: 8000,
      directoryDown: 15000,
      directoryCut: 9000,
      fullDisk: 12000,
      hungDisk: 12000,
      failedFlush: 15000,
      handOver: 10000,
      resyncFully: 12000,
      rewatch: 9000,
      lagWatch: 9000,
      clockStep: 9000,
      wipe: 9000,
    },
    network: 'lossy',
    directory: 'bad',
    attested: 0.7,
  },
} as const satisfies Record<string, Mix>
export type MixName = keyof typeof mixes
export const mixNames = Object.keys(mixes) as MixName[]

/** What one run is like: chosen by its seed, within its mix. */
export interface Profile {
  readonly members: number
  readonly minInSync: number
  readonly clients: number
  /** Virtual ms in which things go wrong. */
  readonly lengthMs: number
  /** Clocks run this much too fast or too slow, at most. */
  readonly drift: number
  readonly network: NetworkProfile
  readonly directory: DirectoryProfile
  readonly storage: StorageProfile
  readonly client: ClientProfile
  /** Chance that a client with a cache holds writes back. */
  readonly holds: number
}

const networks = {
  good: { loss: 0, duplicate: 0, delayMs: 0.2, jitterMs: 1 },
  lossy: { loss: 0.01, duplicate: 0.02, delayMs: 0.5, jitterMs: 5 },
  slow: { loss: 0.001, duplicate: 0.001, delayMs: 5, jitterMs: 30 },
} as const

const directories = {
  good: { delayMs: 1, jitterMs: 3, loss: 0, late: 0, stale: 0 },
  bad: { delayMs: 2, jitterMs: 40, loss: 0.15, late: 0.1, stale: 0.2 },
} as const

export const calmNetwork: NetworkProfile = { ...networks.good, inOrder: true, bytesPerMs: 100_000 }
export const calmDirectory: DirectoryProfile = directories.good

export function profileOf(mix: Mix, random: Prng): Profile {
  const profile = longProfileOf(mix, random)
  if (mix.isShort !== true) return profile
  const thinkMs = random.pick([8, 25, 60])
  const client = { ...profile.client, slots: 1 + random.below(2), thinkMs, caches: 0.4 }
  return { ...profile, members: Math.max(2, profile.members), clients: 2, lengthMs: random.between(2500, 4500), client }
}

function longProfileOf(mix: Mix, random: Prng): Profile {
  const members = random.pick([1, 2, 3, 3, 3, 3, 3, 4, 5])
  return {
    members,
    minInSync: members > 2 && random.chance(0.2) ? 2 : 1,
    clients: 2 + random.below(3),
    lengthMs: random.between(6000, 12000),
    drift: 0.02,
    network: {
      ...networks[mix.network],
      inOrder: random.chance(0.5),
      bytesPerMs: random.chance(0.2) ? 200 : 100_000,
    },
    directory: directories[mix.directory],
    storage: {
      keepEntries: random.pick([0, 5, 20, 1000]),
      foldMax: random.pick([0, 4, 1000]),
      keepPayloads: random.pick([0, 10, 1000]),
      flushMs: random.pick([1, 5, 25]),
      readMs: random.pick([0.2, 1, 8, 30]),
    },
    client: {
      slots: 1 + random.below(3),
      readShare: random.pick([0.2, 0.45, 0.6]),
      flushShare: 0.05,
      renewShare: random.pick([0, 0.01, 0.05]),
      thinkMs: random.pick([5, 20, 60, 150]),
      forgetful: 0.5,
      caches: 0.6,
      freezeMs: 6000,
    },
    holds: random.pick([0, 0.7]),
  }
}
