import { Metadata, type ServerWritableStream, type ServiceError, status } from '@grpc/grpc-js'
import type { AdminServiceServer } from '../../proto/generated/admin-service.ts'
import { NotPossible, NotPrimary } from '../admin/refusals.ts'
import { resync } from '../admin/resync.ts'
import { statusOf } from '../admin/status.ts'
import { verify } from '../admin/verify.ts'
import type { Volume } from '../volume.ts'

/** What operators ask, over gRPC. */
export function adminService(volume: Volume): AdminServiceServer {
  return {
    status: (_call, answer) => {
      statusOf(volume).then(
        (reply) => answer(null, reply),
        (error: unknown) => answer(asServiceError(error)),
      )
    },
    resync: (call) => void streamed(volume, call, resync(volume, call.request)),
    verify: (call) => void streamed(volume, call, kinds(verify(volume, call.request))),
  }
}

async function* kinds<Kind>(events: AsyncIterable<Kind>): AsyncGenerator<{ kind: Kind }, void> {
  for await (const kind of events) yield { kind }
}

/** Writes events as fast as they are read; stops when nobody reads any more. */
async function streamed<Asked, Event>(
  volume: Volume,
  call: ServerWritableStream<Asked, Event>,
  events: AsyncIterable<Event>,
): Promise<void> {
  // A cancelled stream without a listener for its error would end the process.
  call.on('error', () => {})
  try {
    for await (const event of events) {
      if (call.cancelled) return
      await new Promise<void>((resolve) => call.write(event, () => resolve()))
    }
    call.end()
  } catch (error) {
    if (!(error instanceof NotPrimary || error instanceof NotPossible)) {
      volume.log('admin.failed', { error: String(error), stack: error instanceof Error ? error.stack : undefined })
    }
    call.emit('error', asServiceError(error))
  }
}

function asServiceError(error: unknown): ServiceError {
  const code =
    error instanceof NotPrimary
      ? status.FAILED_PRECONDITION
      : error instanceof NotPossible
        ? status.INVALID_ARGUMENT
        : status.INTERNAL
  const details = error instanceof Error ? error.message : String(error)
  return Object.assign(new Error(details), { code, details, metadata: new Metadata() })
}
