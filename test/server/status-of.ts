import { credentials } from '@grpc/grpc-js'
import { AdminServiceClient, type StatusReply } from '../../proto/generated/admin-service.ts'

/** What the server at that address says of itself. */
export function statusOf(address: string): Promise<StatusReply> {
  const client = new AdminServiceClient(address, credentials.createInsecure())
  return new Promise((resolve, reject) => {
    client.status({}, (error, reply) => {
      client.close()
      if (error === null) resolve(reply)
      else reject(error)
    })
  })
}
