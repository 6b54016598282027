import type { Advert } from '../proto/advert.ts'
import type { Incarnation, NodeId } from '../proto/ids.ts'
import { isDrained } from '../replication/record.ts'
import type { Advertisement, Closable } from './directory/directory.ts'
import { adminService } from './rpc/admin-service.ts'
import { fileService } from './rpc/file-service.ts'
import type { Services } from './rpc/grpc-server.ts'
import type { PeerOf } from './rpc/identity.ts'
import { VolumeStore } from './store/volume-store.ts'
import { Volume, type VolumeOptions } from './volume.ts'

export interface MemberOptions extends Omit<VolumeOptions, 'store'> {
  readonly stateDir: string
  readonly bootId: string
  /** Of the advert: the machine, and where other machines come. */
  readonly host: string
  readonly remote: string
}

/** A clean stop waits so long for another member to lead. */
const handOverMs = 1000

/** This server's part in one volume: its copy, what is said of it in the directory, and what is heard there. */
export class Member {
  readonly volume: Volume
  readonly #store: VolumeStore
  readonly #options: MemberOptions
  #advertisement: Advertisement | undefined
  #watch: Closable | undefined

  private constructor(options: MemberOptions, store: VolumeStore) {
    this.#options = options
    this.#store = store
    this.volume = new Volume({ ...options, store })
  }

  /** Opens the copy, or makes an empty one. It takes part from `start` on. */
  static async open(options: MemberOptions): Promise<Member> {
    const { bootId, log, onFatal, stateDir } = options
    const member = new Member(options, await VolumeStore.open(stateDir, { bootId, log, onFailure: onFatal }))
    await member.volume.leases.look() // a primary that does not know who has leases waits for everybody
    return member
  }

  services(peerOf: PeerOf): Services {
    const { volume } = this
    return {
      file: fileService(volume.attachmentPorts, peerOf),
      peer: volume.peers.service(peerOf),
      admin: adminService(volume),
    }
  }

  start(): void {
    const { volume } = this
    const { address, directory, host, incarnation, node, remote } = this.#options
    const advert: Advert = { node, incarnation, address, remote, host, load: 0, role: 'none' }
    this.#advertisement = directory.advertise(volume.name, advert)
    this.#watch = directory.watch(volume.name, {
      record: (versioned) => volume.onRecord(versioned),
      death: (dead: NodeId, of: Incarnation) => volume.onDeath(dead, of),
      providers: (adverts) => {
        for (const peer of adverts) volume.peers.learn(peer.node, peer.address, peer.incarnation)
      },
    })
    volume.start()
  }

  /** Every few tens of milliseconds. */
  onTick(): void {
    this.volume.onTick()
    const { role } = this.volume.replica.status()
    this.#advertisement?.update({
      role: role === 'resyncing' ? 'none' : role,
      load: this.volume.attachments.load(),
    })
  }

  /** Resolves when another member leads, or nobody is there to, or after a while in any case. */
  async handOver(): Promise<void> {
    const { clock, node, record, replica } = this.volume
    const heirs = replica.status().members.filter((member) => member.state === 'in-sync' && member.node !== node)
    const heir = heirs.find((member) => record !== undefined && !isDrained(record.record, member.node)) ?? heirs[0]
    if (replica.primary() !== node || heir === undefined) return
    this.volume.step(() => replica.handOver(heir.node))
    const end = clock.now() + handOverMs
    while (replica.primary() === node && clock.now() < end) await new Promise((resolve) => setTimeout(resolve, 10))
  }

  /** Takes no part any more, and lets its clients go. */
  leave(): void {
    this.#advertisement?.close()
    this.#watch?.close()
    this.volume.close()
  }

  /** After `leave`: marks the copy as stopped cleanly. */
  async close(): Promise<void> {
    await this.#store.close()
  }
}
