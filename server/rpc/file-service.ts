import type { ServerDuplexStream } from '@grpc/grpc-js'
import type { ClientFrame, FileServiceServer, ServerFrame } from '../../proto/generated/file-service.ts'
import { Attachment, type AttachmentPorts } from '../session/attachment.ts'
import { type PeerOf, speaksFor } from './identity.ts'

/** Clients' sessions over gRPC. */
export function fileService(ports: AttachmentPorts, peerOf: PeerOf): FileServiceServer {
  return {
    session: (stream: ServerDuplexStream<ClientFrame, ServerFrame>): void => {
      const peer = peerOf(stream)
      let open = true
      const attachment = new Attachment(ports, {
        send: (frame) => {
          if (open) stream.write(frame)
        },
        end: () => {
          if (open) stream.end()
          open = false
        },
      })
      const gone = (): void => {
        open = false
        attachment.onClosed()
      }
      // A cancelled stream without a listener for its error would end the process.
      stream.on('error', gone).on('cancelled', gone).on('close', gone)
      stream.on('end', () => {
        if (open) stream.end()
        gone()
      })
      stream.on('data', (frame: ClientFrame) => {
        if (!open) return
        if (frame.kind?.$case === 'hello' && !speaksFor(peer, frame.kind.value.host)) {
          const reason = `its certificate does not say that it is ${frame.kind.value.host}`
          stream.write({ kind: { $case: 'goodbye', value: { reason, ended: false } } })
          stream.end()
          return gone()
        }
        attachment.onFrame(frame)
      })
    },
  }
}
