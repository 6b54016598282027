import { readFileSync } from 'node:fs'
import { type Dial, overUnixSockets } from '../proto/channel.ts'
import type { Incarnation, NodeId } from '../proto/ids.ts'
import { type Log, standardTiming, type Timing } from '../replication/ports.ts'
import type { Directory } from './directory/directory.ts'
import { diskFullExit } from './exit-code.ts'
import { Members } from './members.ts'
import { byVolume } from './rpc/by-volume.ts'
import { GrpcServer, type Services } from './rpc/grpc-server.ts'
import type { PeerOf } from './rpc/identity.ts'
import type { Listener } from './rpc/listener.ts'
import { isOutOfSpace } from './store/file-io.ts'

export interface ServerOptions {
  readonly node: NodeId
  /** This start of this process: never used before. */
  readonly incarnation: Incarnation
  /** It has a part in this one from the start, whoever the mirrors are. */
  readonly volume: string
  readonly directory: Directory
  /** Path of the Unix socket, at most 107 bytes. */
  readonly socket: string
  /** For other machines. Without it there are none. */
  readonly network?: Network
  /** Where this member's copy of a volume stands. */
  readonly storeOf: (volume: string) => string
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
  /** Hands over what it leads, lets its clients go, and marks its copies as stopped cleanly. */
  close(): Promise<void>
}

const reportMs = 500
const secondMs = 1000

/**
 * Starts one file server: resolves when it listens. It serves when replication lets it; beside its first volume it takes
 * part in each that names it as a mirror, from then on.
 *
 * @throws when it can't listen, or can't open the store of that volume
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { directory, host, incarnation, log, network, node, socket, storeOf, volume: first } = options
  const { timing = standardTiming } = options
  const address = `unix:${socket}`
  const members = new Members({
    ...options,
    first,
    address,
    dial: network?.dial ?? overUnixSockets,
    remote: network?.remote ?? '',
    host,
    timing,
    bootId: bootId(),
    storeOf,
    onFatal: once(options.onFatal ?? endProcess, log),
  })
  await members.open(first)
  const services = (peerOf: PeerOf): Services => byVolume((volume = first) => members.get(volume)?.services(peerOf))
  const grpc = await GrpcServer.listen([{ kind: 'unix', socket }, ...(network?.listeners ?? [])], services)
  members.start()
  const watch = directory.watchRecords((records) => members.onRecords(records))
  const tick = setInterval(() => {
    for (const member of members) member.onTick()
    grpc.setServing([...members].some(({ volume }) => volume.replica.mayRead()))
  }, timing.heartbeat / 3)
  const report = setInterval(() => {
    for (const { volume } of members) volume.reportSessions()
  }, reportMs)
  const second = setInterval(() => {
    for (const { volume } of members) volume.onSecond()
  }, secondMs)
  log('server.started', { node, incarnation, volume: first, address })
  return {
    close: async () => {
      watch.close()
      await members.handOver()
      for (const timer of [tick, report, second]) clearInterval(timer)
      members.leave()
      grpc.close()
      await members.close()
      log('server.stopped', { node })
    },
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
  process.exit(isOutOfSpace(error) ? diskFullExit : 70) // EX_SOFTWARE of sysexits.h
}

/** Names this start of the machine. */
const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
