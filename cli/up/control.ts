import { Metadata, type ServiceError, type sendUnaryData, status } from '@grpc/grpc-js'
import type * as wire from '../../proto/generated/control-service.ts'
import type { ControlServiceServer } from '../../proto/generated/control-service.ts'
import { Failure, oneLine } from '../failure.ts'

/** What the commands may ask of a running `up`. */
export interface Control {
  state(): wire.StateReply
  /** @throws Failure */
  startServer(name: string): Promise<wire.ServerState>
  /** @throws Failure */
  stopServer(name: string): Promise<wire.ServerState>
  /** Resolves when everything else has ended. */
  down(): Promise<void>
  addMount(mount: wire.MountState): { close(): void }
}

export function controlService(control: Control): ControlServiceServer {
  return {
    state: (_call, answer) => reply(answer, async () => control.state()),
    startServer: (call, answer) =>
      reply(answer, async () => ({ server: await control.startServer(call.request.name) })),
    stopServer: (call, answer) => reply(answer, async () => ({ server: await control.stopServer(call.request.name) })),
    down: (_call, answer) =>
      reply(answer, async () => {
        await control.down()
        return {}
      }),
    registerMount: (call, answer) => {
      let entry: { close(): void } | undefined
      const end = (): void => entry?.close()
      call.on('data', (mount: wire.MountState) => {
        end()
        entry = control.addMount(mount)
      })
      call.on('end', () => {
        end()
        answer(null, {})
      })
      call.on('cancelled', end).on('error', end)
    },
  }
}

function reply<T>(answer: sendUnaryData<T>, make: () => Promise<T>): void {
  make().then(
    (value) => answer(null, value),
    (error: unknown) => answer(serviceError(error)),
  )
}

/** A failure's line goes to the person as it is; anything else is a bug, and says so. */
function serviceError(error: unknown): ServiceError {
  const expected = error instanceof Failure
  const details = expected ? error.message : `banyan up failed in answering: ${oneLine(error)}`
  const code = expected ? status.FAILED_PRECONDITION : status.INTERNAL
  return Object.assign(new Error(details), { code, details, metadata: new Metadata() })
}
