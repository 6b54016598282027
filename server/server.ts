import { readFileSync } from 'node:fs'
import type { Advert } from '../proto/advert.ts'
import { type Dial, overUnixSockets } from '../proto/channel.ts'
import type { Incarnation, NodeId } from '../proto/ids.ts'
import { type Log, standardTiming, type Timing } from '../replication/ports.ts'
import { isDrained } from '../replication/record.ts'
import type { Directory } from './directory/directory.ts'
import { adminService } from './rpc/admin-service.ts'
import { fileService } from './rpc/file-service.ts'
import { GrpcServer, type Services } from './rpc/grpc-server.ts'
import type { PeerOf } from './rpc/identity.ts'
import type { Listener } from './rpc/listener.ts'
import { VolumeStore } from './store/volume-store.ts'
import { Volume } from './volume.ts'

export interface ServerOptions {
  readonly node: NodeId
  /** This start of this process: never used before. */
  readonly incarnation: Incarnation
  readonly volume: string
  readonly directory: Directory
  /** Path of the Unix socket, at most 107 bytes. */
  readonly socket: string
  /** For other machines. Without it there are none. */
  readonly network?: Network
  /** The member's store stands here. */
  readonly stateDir: string
  /** The machine's name, for drivers that prefer a provider nearby. */
  readonly host: string
  readonly log: Log
  readonly timing?: Timing
  readonly sessionTimeoutMs?: number
  readonly partitionAfterMs?: number
  /** An invariant or the disk broke: standard is to end the process, so that another member goes on. */
  readonly onFatal?: (error: unknown) => void
}

export interface Network {
  readonly listeners: readonly Listener[]
  /** What others dial, `HOST:PORT`. */
  readonly remote: string
  /** The way to the other members. */
  readonly dial: Dial
}

export interface RunningServer {
  /** Hands over what it leads, lets its clients go, and marks the store as stopped cleanly. */
  close(): Promise<void>
}

const reportMs = 500
const secondMs = 1000
/** A clean stop waits so long for another member to lead. */
const handOverMs = 1000

/** Starts one file server: resolves when it listens. It serves when replication lets it. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { directory, host, incarnation, log, network, node, socket, stateDir, volume: name } = options
  const { timing = standardTiming } = options
  const onFatal = once(options.onFatal ?? endProcess, log)
  const store = await VolumeStore.open(stateDir, { bootId: bootId(), log, onFailure: onFatal })
  const address = `unix:${socket}`
  const dial = network?.dial ?? overUnixSockets
  const volume = new Volume({ ...options, dial, address, store, timing, onFatal })
  await volume.leases.look() // a primary that does not know who has leases waits for everybody
  const admin = adminService(volume)
  const services = (peerOf: PeerOf): Services => ({
    file: fileService(volume.attachmentPorts, peerOf),
    peer: volume.peers.service(peerOf),
    admin,
  })
  const grpc = await GrpcServer.listen([{ kind: 'unix', socket }, ...(network?.listeners ?? [])], services)
  const remote = network?.remote ?? ''
  const advert: Advert = { node, incarnation, address, remote, host, load: 0, role: 'none' }
  const advertisement = directory.advertise(name, advert)
  const watch = directory.watch(name, {
    record: (versioned) => volume.onRecord(versioned),
    death: (dead, of) => volume.onDeath(dead, of),
    providers: (adverts) => {
      for (const peer of adverts) volume.peers.learn(peer.node, peer.address, peer.incarnation)
    },
  })
  volume.start()
  const tick = setInterval(() => {
    volume.onTick()
    grpc.setServing(volume.replica.mayRead())
    const { role } = volume.replica.status()
    advertisement.update({ role: role === 'resyncing' ? 'none' : role, load: volume.attachments.load() })
  }, timing.heartbeat / 3)
  const report = setInterval(() => volume.reportSessions(), reportMs)
  const second = setInterval(() => volume.onSecond(), secondMs)
  log('server.started', { node, incarnation, volume: name, address })
  return {
    close: async () => {
      await handedOver(volume)
      for (const timer of [tick, report, second]) clearInterval(timer)
      advertisement.close()
      watch.close()
      volume.close()
      grpc.close()
      await store.close()
      log('server.stopped', { node })
    },
  }
}

/** Resolves when another member leads, or nobody is there to, or after a while in any case. */
async function handedOver(volume: Volume): Promise<void> {
  const { replica, node } = volume
  const record = volume.record?.record
  const heirs = replica.status().members.filter((member) => member.state === 'in-sync' && member.node !== node)
  const heir = heirs.find((member) => record !== undefined && !isDrained(record, member.node)) ?? heirs[0]
  if (replica.primary() !== node || heir === undefined) return
  volume.step(() => replica.handOver(heir.node))
  const end = volume.clock.now() + handOverMs
  while (replica.primary() === node && volume.clock.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Only the first counts: what follows comes of it. */
function once(end: (error: unknown) => void, log: Log): (error: unknown) => void {
  let ended = false
  return (error) => {
    if (ended) return
    ended = true
    log('server.broken', { error: String(error), stack: error instanceof Error ? error.stack : undefined })
    end(error)
  }
}

/** What it says last is what a supervisor has to tell of it. */
function endProcess(error: unknown): void {
  console.error(error instanceof Error ? error.message.split('\n')[0] : String(error))
  process.exit(70) // EX_SOFTWARE of sysexits.h
}

/** Names this start of the machine. */
const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
