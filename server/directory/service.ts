import {
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  Metadata,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import type * as wire from '../../proto/generated/directory-service.ts'
import type { DirectoryServiceServer } from '../../proto/generated/directory-service.ts'
import type { NodeId } from '../../proto/ids.ts'
import type { Versioned } from '../../replication/record.ts'
import { everybodyIsLocal, type Peer, type PeerOf, speaksFor } from '../rpc/identity.ts'
import {
  type Advertisement,
  type Closable,
  type Directory,
  DirectoryRefusal,
  DirectoryUnavailable,
} from './directory.ts'
import {
  advertFromWire,
  advertToWire,
  incarnationFromWire,
  nodeFromWire,
  recordFromWire,
  versionedToWire,
  volumeFromWire,
} from './wire.ts'

/** An advert whose process says nothing for so long has ended. Three of the client's keep-alives may be lost. */
export const advertLeaseMs = 2000

/** Events that may wait in one watcher's connection. Beyond it the connection is cut: the watcher begins anew. */
const waitingEventsMax = 1000

/**
 * Offers a directory over gRPC. Whoever has come to a listener may read and swap records; who is not on this machine
 * advertises itself only, and attests deaths of its own host only.
 */
export function directoryService(
  directory: Directory,
  options: { readonly leaseMs?: number; readonly peerOf?: PeerOf } = {},
): DirectoryServiceServer {
  const { leaseMs = advertLeaseMs, peerOf = everybodyIsLocal } = options
  return {
    readRecord: (call, answer) =>
      reply(answer, async () => recordReply(await directory.readRecord(call.request.volume))),
    readRecords: (_call, answer) =>
      reply(answer, async () => {
        const records = [...(await directory.readRecords())]
        return { records: Object.fromEntries(records.map(([name, record]) => [name, versionedToWire(record)])) }
      }),
    createRecord: (call, answer) =>
      reply(answer, async () => {
        const { volume, record } = call.request
        return recordReply(await directory.createRecord(volume, recordFromWire(record)))
      }),
    swapRecord: (call, answer) =>
      reply(answer, async () => {
        const { volume, expected, next } = call.request
        return recordReply(await directory.swapRecord(volume, Number(expected), recordFromWire(next)))
      }),
    attestDeath: (call, answer) =>
      reply(answer, async () => {
        const node = nodeFromWire(call.request.node)
        mustSpeakFor(peerOf(call), node)
        await directory.attestDeath(node, incarnationFromWire(call.request.incarnation))
        return {}
      }),
    watch: watchHandler(directory),
    watchRecords: watchRecordsHandler(directory),
    advertise: advertiseHandler(directory, leaseMs, peerOf),
  }
}

function watchHandler(directory: Directory): handleServerStreamingCall<wire.WatchRequest, wire.WatchEvent> {
  return (call) =>
    told(call, (tell) => {
      const send = (kind: NonNullable<wire.WatchEvent['kind']>): void => tell({ kind })
      return directory.watch(volumeFromWire(call.request.volume), {
        record: (versioned) => send({ $case: 'record', value: versionedToWire(versioned) }),
        death: (node, incarnation) => send({ $case: 'death', value: { node, incarnation } }),
        providers: (adverts) => send({ $case: 'adverts', value: { adverts: adverts.map(advertToWire) } }),
      })
    })
}

/** Only what has changed is sent. */
function watchRecordsHandler(
  directory: Directory,
): handleServerStreamingCall<wire.WatchRecordsRequest, wire.RecordsReply> {
  return (call) =>
    told(call, (tell) => {
      const sent = new Map<string, number>()
      return directory.watchRecords((records) => {
        const news = [...records].filter(([name, { version }]) => sent.get(name) !== version)
        for (const [name, { version }] of news) sent.set(name, version)
        tell({ records: Object.fromEntries(news.map(([name, record]) => [name, versionedToWire(record)])) })
      })
    })
}

/** Runs a watch for as long as the call lasts, and its reader reads. */
function told<Asked, Event>(
  call: ServerWritableStream<Asked, Event>,
  begin: (tell: (event: Event) => void) => Closable,
) {
  let watch: Closable | undefined
  let waiting = 0
  const end = (): void => watch?.close()
  const tell = (event: Event): void => {
    if (waiting >= waitingEventsMax) {
      end()
      call.destroy(failure(status.RESOURCE_EXHAUSTED, 'the watcher does not read'))
      return
    }
    waiting += 1
    call.write(event, () => {
      waiting -= 1
    })
  }
  call.on('cancelled', end).on('close', end).on('error', end)
  try {
    watch = begin(tell)
  } catch (error) {
    call.destroy(serviceError(error))
  }
}

function advertiseHandler(
  directory: Directory,
  leaseMs: number,
  peerOf: PeerOf,
): handleClientStreamingCall<wire.AdvertiseFrame, wire.AdvertiseReply> {
  return (call, answer) => {
    let advertisement: Advertisement | undefined
    let timer: NodeJS.Timeout | undefined
    let over = false
    const peer = peerOf(call)
    const end = (error?: unknown): void => {
      if (over) return
      over = true
      clearTimeout(timer)
      advertisement?.close()
      if (error === undefined) answer(null, {})
      else answer(serviceError(error))
    }
    call.on('data', ({ volume, advert }: wire.AdvertiseFrame) => {
      if (over) return
      try {
        if (advert === undefined) throw new DirectoryRefusal('an advert is missing')
        const judged = advertFromWire(advert)
        mustSpeakFor(peer, judged.node)
        if (advertisement === undefined) advertisement = directory.advertise(volumeFromWire(volume), judged)
        else advertisement.update(judged)
        clearTimeout(timer)
        timer = setTimeout(() => end(new DirectoryUnavailable(`silent for ${leaseMs} ms`)), leaseMs)
      } catch (error) {
        end(error)
      }
    })
    call.on('end', () => end())
    call.on('cancelled', () => end())
    call.on('error', () => end())
  }
}

/** @throws DirectoryRefusal */
function mustSpeakFor(peer: Peer, node: NodeId): void {
  if (!speaksFor(peer, node)) throw new DirectoryRefusal(`your certificate does not say that you are ${node}`)
}

function recordReply(versioned: Versioned | undefined): wire.RecordReply {
  return { record: versioned && versionedToWire(versioned) }
}

function reply<T>(answer: sendUnaryData<T>, make: () => Promise<T>): void {
  make().then(
    (value) => answer(null, value),
    (error: unknown) => answer(serviceError(error)),
  )
}

function serviceError(error: unknown): ServiceError {
  const code =
    error instanceof DirectoryRefusal
      ? status.INVALID_ARGUMENT
      : error instanceof DirectoryUnavailable
        ? status.UNAVAILABLE
        : status.INTERNAL
  const message = error instanceof Error ? error.message : String(error)
  return failure(code, message)
}

function failure(code: status, details: string): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata: new Metadata() })
}
