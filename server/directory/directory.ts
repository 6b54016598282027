import type { Advert } from '../../proto/advert.ts'
import type { Incarnation, NodeId } from '../../proto/ids.ts'
import type { Versioned, VolumeRecord } from '../../replication/record.ts'

/**
 * The service directory: one record a volume, changed by compare-and-swap; who offers the volume, under leases; which
 * processes are known to be dead. Adverts and deaths inform, they exclude nobody: exclusion is the record's version
 * (R9, R16). I/O goes on while it can't be reached (R17).
 *
 * Every call rejects with `DirectoryUnavailable` when there is no answer in time: a swap may have happened then, and
 * reading the record tells (`changedBy`).
 */
export interface Directory {
  /** undefined: nobody has created the volume. */
  readRecord(volume: string): Promise<Versioned | undefined>
  /** All volumes that there are, by name. */
  readRecords(): Promise<ReadonlyMap<string, Versioned>>
  /**
   * Told of all volumes: first of all records as they are, then after every change of one. A connection that breaks is
   * made anew, for ever. `onChange` gets all of them each time, and never inside the call itself.
   */
  watchRecords(onChange: (records: ReadonlyMap<string, Versioned>) => void): Closable
  /** Takes effect only while there is none. Resolves to the record after the attempt. */
  createRecord(volume: string, record: VolumeRecord): Promise<Versioned>
  /** Takes effect only while the record's version is `expected`. Resolves to the record after the attempt. */
  swapRecord(volume: string, expected: number, next: VolumeRecord): Promise<Versioned>
  /**
   * First everything as it is, then every change, in order, and never inside the call itself. A connection that breaks is
   * made anew, for ever; then everything as it is comes again, so one thing may be told twice.
   */
  watch(volume: string, watcher: DirectoryWatcher): Closable
  /** Stands until closed, until this process ends, or until it is silent for 2 s. A newer incarnation's replaces it. */
  advertise(volume: string, advert: Advert): Advertisement
  /** For a supervisor that saw the process end itself (S17), nobody else. */
  attestDeath(node: NodeId, incarnation: Incarnation): Promise<void>
}

export interface DirectoryWatcher {
  /** May come out of order, or again: the greater version is the newer one. */
  record(versioned: Versioned): void
  death(node: NodeId, incarnation: Incarnation): void
  /** The whole list each time. */
  providers(adverts: readonly Advert[]): void
}

export interface Closable {
  close(): void
}

export interface Advertisement extends Closable {
  /** A change of role or address is told at once, one of load alone within half a second. */
  update(patch: Partial<Pick<Advert, 'address' | 'load' | 'role'>>): void
}

export class DirectoryUnavailable extends Error {
  constructor(sentence: string, options?: ErrorOptions) {
    super(sentence, options)
    this.name = 'DirectoryUnavailable'
  }
}

/** What was asked makes no sense, or what is stored can't be read. Trying again gives the same. */
export class DirectoryRefusal extends Error {
  constructor(sentence: string, options?: ErrorOptions) {
    super(sentence, options)
    this.name = 'DirectoryRefusal'
  }
}
