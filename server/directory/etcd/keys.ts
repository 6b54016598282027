import type { Incarnation, NodeId } from '../../../proto/ids.ts'
import { incarnationFromWire, nodeFromWire, volumeFromWire } from '../wire.ts'

/** A range of keys, as etcd wants it. */
export interface Range {
  readonly key: Buffer
  readonly range_end: Buffer
}

/** What stands where in etcd. All names are without `/`. */
export class Keys {
  readonly #prefix: string

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** Of a volume: a `VolumeRecord` of proto/directory-service.proto. The key's version is the record's. */
  record(volume: string): Buffer {
    return Buffer.from(`${this.#prefix}record/${volumeFromWire(volume)}`)
  }

  records(): Range {
    return this.#under('record/')
  }

  volumeOf(key: Buffer): string {
    return this.#last(key, 'record/')
  }

  /** Of a process that a supervisor saw end; empty, under a lease. */
  death(node: NodeId, incarnation: Incarnation): Buffer {
    return Buffer.from(`${this.#prefix}death/${node}/${incarnation}`)
  }

  deathsOf(node: NodeId): Range {
    return this.#under(`death/${node}/`)
  }

  deaths(): Range {
    return this.#under('death/')
  }

  /** @throws DirectoryRefusal */
  deadOf(key: Buffer): readonly [NodeId, Incarnation] {
    const [node = '', incarnation = ''] = this.#last(key, 'death/').split('/')
    return [nodeFromWire(node), incarnationFromWire(incarnation)]
  }

  /** An `Advert`, under its process's lease. */
  advert(volume: string, node: NodeId, incarnation: Incarnation): Buffer {
    return Buffer.from(`${this.#prefix}advert/${volumeFromWire(volume)}/${node}/${incarnation}`)
  }

  adverts(volume: string): Range {
    return this.#under(`advert/${volumeFromWire(volume)}/`)
  }

  #last(key: Buffer, kind: string): string {
    return key.toString().slice(this.#prefix.length + kind.length)
  }

  /** '0' comes after '/'. */
  #under(folder: string): Range {
    const key = `${this.#prefix}${folder}`
    return { key: Buffer.from(key), range_end: Buffer.from(`${key.slice(0, -1)}0`) }
  }
}
