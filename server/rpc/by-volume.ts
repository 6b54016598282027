import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { volumeIn } from '../../proto/volume-metadata.ts'
import type { Services } from './grpc-server.ts'

/** undefined: this server has no such volume. Without a name it is the server's first. */
export type FindServices = (volume: string | undefined) => Services | undefined

interface Call {
  readonly metadata: Metadata
  emit(event: 'error', error: ServiceError): boolean
}

/** The services of several volumes as one: each call says which it is about. */
export function byVolume(find: FindServices): Services {
  const streamed = <C extends Call>(call: C, run: (services: Services) => void): void => {
    const services = find(volumeIn(call.metadata))
    if (services === undefined) call.emit('error', notHere(call))
    else run(services)
  }
  return {
    file: { session: (stream) => streamed(stream, ({ file }) => file.session(stream)) },
    peer: { subscribe: (stream) => streamed(stream, ({ peer }) => peer.subscribe(stream)) },
    admin: {
      status: (call, answer) => {
        const services = find(volumeIn(call.metadata))
        if (services === undefined) answer(notHere(call))
        else services.admin.status(call, answer)
      },
      resync: (call) => streamed(call, ({ admin }) => admin.resync(call)),
      verify: (call) => streamed(call, ({ admin }) => admin.verify(call)),
    },
  }
}

/** Another one may have it. */
function notHere({ metadata }: Pick<Call, 'metadata'>): ServiceError {
  const details = `this server does not serve volume ${volumeIn(metadata) ?? ''}`
  return Object.assign(new Error(details), { code: status.FAILED_PRECONDITION, details, metadata: new Metadata() })
}
