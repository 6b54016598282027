import { credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import * as wire from '../proto/generated/control-service.ts'
import { Failure } from './failure.ts'
import { type Host, notRunning } from './host.ts'

/** For answers that need nothing but memory. */
export const promptMs = 5_000
/** For starting or stopping one server, with all its limits. */
export const serverMs = 60_000
/** For stopping everything. */
export const downMs = 120_000

const reconnectMs = 100

type Call<T> = (
  metadata: Metadata,
  options: { deadline: number },
  answer: (error: ServiceError | null, reply: T) => void,
) => unknown

/** The commands' way to the `up` of a state folder. */
export class ControlClient {
  readonly #client: wire.ControlServiceClient
  readonly #host: Host

  constructor(host: Host) {
    this.#host = host
    this.#client = new wire.ControlServiceClient(`unix:${host.state.socket('up')}`, credentials.createInsecure(), {
      'grpc.initial_reconnect_backoff_ms': reconnectMs,
      'grpc.max_reconnect_backoff_ms': reconnectMs,
      'grpc.min_reconnect_backoff_ms': reconnectMs,
      'grpc.service_config_disable_resolution': 1,
    })
  }

  state(): Promise<wire.StateReply> {
    return this.#ask((...how) => this.#client.state({}, ...how), promptMs)
  }

  async startServer(name: string): Promise<wire.ServerState | undefined> {
    return (await this.#ask<wire.ServerReply>((...how) => this.#client.startServer({ name }, ...how), serverMs)).server
  }

  async stopServer(name: string): Promise<wire.ServerState | undefined> {
    return (await this.#ask<wire.ServerReply>((...how) => this.#client.stopServer({ name }, ...how), serverMs)).server
  }

  async down(): Promise<void> {
    await this.#ask((...how) => this.#client.down({}, ...how), downMs)
  }

  /** Keeps a mount in the list of whichever `up` serves this state folder, until closed. */
  registerMount(mount: wire.MountState): { close(): void } {
    let closed = false
    let stop = (): void => {}
    const begin = (): void => {
      let over = false
      const again = (): void => {
        if (over || closed) return
        over = true
        const timer = setTimeout(begin, reconnectMs)
        stop = () => clearTimeout(timer)
      }
      const stream = this.#client.registerMount(new Metadata({ waitForReady: true }), again)
      stream.on('error', again)
      stream.write(mount)
      stop = () => {
        stream.end()
        stream.cancel()
      }
    }
    begin()
    return {
      close() {
        closed = true
        stop()
      },
    }
  }

  close(): void {
    this.#client.close()
  }

  /** @throws Failure what `up` says, or that there is none */
  #ask<T>(call: Call<T>, limitMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      call(new Metadata(), { deadline: Date.now() + limitMs }, (error, reply) => {
        if (error === null) resolve(reply)
        else reject(this.#failure(error, limitMs))
      })
    })
  }

  #failure(error: ServiceError, limitMs: number): Failure {
    if (error.code === status.FAILED_PRECONDITION) return new Failure(error.details, { cause: error })
    if (error.code === status.UNAVAILABLE) return notRunning(this.#host, error)
    if (error.code !== status.DEADLINE_EXCEEDED) return new Failure(error.details || error.message, { cause: error })
    return new Failure(`"banyan up" did not answer within ${limitMs / 1000} s`, {
      meaning: 'It may be stopped or overloaded; what was asked for may still happen',
      remedy: `Look at ${this.#host.state.log('up')}, and at "banyan status"`,
      cause: error,
    })
  }
}

/** Runs `use` with a connection to the running `up`, and ends the connection. @throws Failure */
export async function withControl<T>(host: Host, use: (control: ControlClient) => Promise<T>): Promise<T> {
  const control = new ControlClient(host)
  try {
    return await use(control)
  } finally {
    control.close()
  }
}
