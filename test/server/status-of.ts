import { credentials, Metadata } from '@grpc/grpc-js'
import { AdminServiceClient, type StatusReply } from '../../proto/generated/admin-service.ts'
import { volumeMetadata } from '../../proto/volume-metadata.ts'

/** What the server at that address says of itself, as to its first volume or another. */
export function statusOf(address: string, volume?: string): Promise<StatusReply> {
  const client = new AdminServiceClient(address, credentials.createInsecure())
  return new Promise((resolve, reject) => {
    client.status({}, volume === undefined ? new Metadata() : volumeMetadata(volume), (error, reply) => {
      client.close()
      if (error === null) resolve(reply)
      else reject(error)
    })
  })
}
