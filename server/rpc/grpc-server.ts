import { existsSync } from 'node:fs'
import path from 'node:path'
import { Server } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { ReflectionService } from '@grpc/reflection'
import { HealthImplementation } from 'grpc-health-check'
import { serverFrameBytes } from '../../proto/frames.ts'
import { type AdminServiceServer, AdminServiceService } from '../../proto/generated/admin-service.ts'
import { type FileServiceServer, FileServiceService } from '../../proto/generated/file-service.ts'
import { type PeerServiceServer, PeerServiceService } from '../../proto/generated/peer-service.ts'
import type { PeerOf } from './identity.ts'
import { type Listener, listenAt, peersAt } from './listener.ts'
import { peerFrameBytes } from './peer-frame.ts'

export interface Services {
  readonly file: FileServiceServer
  readonly peer: PeerServiceServer
  readonly admin: AdminServiceServer
}

/** More than any frame that a client or peer makes: 1 MiB of data and its head, or a batch of entries. */
const frameBytesMax = 128 << 20

/** One file server's gRPC, with standard health checking and reflection. */
export class GrpcServer {
  readonly #servers: readonly Server[]
  readonly #health = new HealthImplementation({ '': 'NOT_SERVING', 'banyan.v1.FileService': 'NOT_SERVING' })
  #serving = false

  private constructor(listeners: readonly Listener[]) {
    this.#servers = listeners.map(
      () =>
        new Server({
          'grpc.max_receive_message_length': frameBytesMax,
          'grpc.max_send_message_length': -1,
          // Dead hosts are noticed by heartbeats of our own; pings only tear down what is left of their connections.
          'grpc.keepalive_time_ms': 20_000,
          'grpc.keepalive_timeout_ms': 20_000,
        }),
    )
  }

  /**
   * One server a listener, so that a connection's peer is never taken for one of another listener. Sockets are nobody
   * else's, since the store's lock is ours.
   */
  static async listen(listeners: readonly Listener[], services: (peerOf: PeerOf) => Services): Promise<GrpcServer> {
    const grpc = new GrpcServer(listeners)
    for (const [index, server] of grpc.#servers.entries()) {
      const listener = listeners[index]
      if (listener === undefined) continue
      grpc.#offer(server, services(peersAt(listener)))
      await listenAt(server, listener)
    }
    return grpc
  }

  #offer(server: Server, services: Services): void {
    const session = { ...FileServiceService.session, responseSerialize: serverFrameBytes }
    const subscribe = { ...PeerServiceService.subscribe, responseSerialize: peerFrameBytes }
    server.addService({ session }, services.file)
    server.addService({ subscribe }, services.peer)
    server.addService(AdminServiceService, services.admin)
    this.#health.addToServer(server)
    reflection().addToServer(server)
  }

  /** What health checks say: whether this member answers reads. */
  setServing(serving: boolean): void {
    if (serving === this.#serving) return
    this.#serving = serving
    const status = serving ? 'SERVING' : 'NOT_SERVING'
    this.#health.setStatus('', status)
    this.#health.setStatus('banyan.v1.FileService', status)
  }

  close(): void {
    for (const server of this.#servers) server.forceShutdown()
  }
}

function reflection(): ReflectionService {
  const folder = protoFolder()
  const files = ['file-service.proto', 'peer-service.proto', 'admin-service.proto']
  return new ReflectionService(
    loadSync(
      files.map((file) => path.join(folder, file)),
      { includeDirs: [folder] },
    ),
  )
}

/** The .proto files stand in the checkout, also for what was compiled to build/. */
function protoFolder(): string {
  for (let folder = import.meta.dirname; folder !== path.dirname(folder); folder = path.dirname(folder)) {
    const proto = path.join(folder, 'proto')
    if (existsSync(path.join(proto, 'file-service.proto'))) return proto
  }
  throw new Error('the folder proto/ with the .proto files is missing: this installation is not complete')
}
