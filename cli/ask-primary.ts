import { type ClientReadableStream, type Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { AdminServiceClient } from '../proto/generated/admin-service.ts'
import { volumeMetadata } from '../proto/volume-metadata.ts'
import { withControl } from './control-client.ts'
import { Failure } from './failure.ts'
import type { Host } from './host.ts'
import { lookUp } from './show/look-up.ts'

/** While nobody can answer as primary, and after it was lost. A takeover takes a second; a recovery some. */
const primaryMs = 30_000
const againMs = 200

/** What says that another server has to be asked, or the same one again. */
const elsewhere: ReadonlySet<status> = new Set([status.FAILED_PRECONDITION, status.UNAVAILABLE, status.CANCELLED])

/**
 * Runs a streaming call at the primary of a volume, and again at the next one when it is lost. `open` is told how often it was called,
 * and gives its call the metadata.
 * `again` is called before the events begin anew.
 *
 * @throws Failure
 */
export async function* askPrimary<Event>(
  host: Host,
  volume: string,
  open: (client: AdminServiceClient, metadata: Metadata, attempt: number) => ClientReadableStream<Event>,
  again: (why: string) => void = () => {},
): AsyncGenerator<Event, void, void> {
  const metadata = volumeMetadata(volume)
  let lastHeard = performance.now()
  for (let attempt = 0; ; attempt += 1) {
    let why = 'there is no primary'
    const address = await primaryAddress(host, volume)
    if (address !== undefined) {
      const { target, credentials, options } = host.dial(address)
      const client = new AdminServiceClient(target, credentials, options)
      try {
        for await (const event of open(client, metadata, attempt)) {
          lastHeard = performance.now()
          yield event as Event
        }
        return
      } catch (error) {
        if (!isServiceError(error)) throw error
        if (!elsewhere.has(error.code)) throw new Failure(error.details || error.message, { cause: error })
        why = error.details
      } finally {
        client.close()
      }
    }
    if (performance.now() - lastHeard > primaryMs) {
      throw new Failure(`no primary of volume ${volume} answered for ${primaryMs / 1000} s: ${why}`, {
        meaning: 'What was under way goes on or not, unseen',
        remedy: 'Look at "banyan status", then run this again',
      })
    }
    again(why)
    await new Promise((resolve) => void setTimeout(resolve, againMs))
  }
}

/** undefined: there is no primary, or its process has ended. */
async function primaryAddress(host: Host, volume: string): Promise<string | undefined> {
  const { servers } = await withControl(host, (control) => control.state())
  const { adverts, record } = await lookUp(host, volume)
  const here = servers.find(({ name }) => name === record?.primary)
  if (here !== undefined) return here.pid === 0 ? undefined : here.address
  return adverts.find(({ node }) => node === record?.primary)?.address
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error
}
