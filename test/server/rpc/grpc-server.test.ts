import { createRequire } from 'node:module'
import path from 'node:path'
import { type Client, credentials, makeGenericClientConstructor } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { service as health } from 'grpc-health-check'
import t from 'tap'
import { waitFor } from '../../fixtures/wait.ts'
import { Cluster } from '../cluster.ts'

const reflectionProto = path.join(
  path.dirname(createRequire(import.meta.url).resolve('@grpc/reflection')),
  '../proto/grpc/reflection/v1/reflection.proto',
)

function servingStatus(address: string): Promise<string | undefined> {
  const client: Client = new (makeGenericClientConstructor(health, 'Health'))(address, credentials.createInsecure())
  const { path: method, requestSerialize, responseDeserialize } = health['Check'] ?? {}
  return new Promise((resolve) => {
    if (method === undefined || requestSerialize === undefined || responseDeserialize === undefined) throw new Error()
    const serialize = (value: object): Buffer => Buffer.from(requestSerialize(value))
    client.makeUnaryRequest(
      method,
      serialize,
      responseDeserialize,
      { service: 'banyan.v1.FileService' },
      (_e, reply) => {
        client.close()
        resolve((reply as { status?: string } | undefined)?.status)
      },
    )
  })
}

function listedServices(address: string): Promise<readonly string[]> {
  const definition = loadSync(reflectionProto, { keepCase: true })['grpc.reflection.v1.ServerReflection']
  if (definition === undefined || 'format' in definition) throw new Error('the reflection service has no definition')
  const method = definition['ServerReflectionInfo']
  if (method === undefined) throw new Error('reflection without its method')
  const Reflection = makeGenericClientConstructor(definition, 'ServerReflection')
  const client: Client = new Reflection(address, credentials.createInsecure())
  const serialize = (value: object): Buffer => Buffer.from(method.requestSerialize(value))
  const stream = client.makeBidiStreamRequest(method.path, serialize, method.responseDeserialize)
  return new Promise((resolve, reject) => {
    stream.on('error', reject)
    stream.on('data', (reply: { list_services_response?: { service: readonly { name: string }[] } }) => {
      stream.end()
      client.close()
      resolve(reply.list_services_response?.service.map(({ name }) => name) ?? [])
    })
    stream.write({ list_services: '' })
  })
}

void t.test('standard health checks and reflection are answered', async (t) => {
  const cluster = await Cluster.start(['s1'])
  t.teardown(() => cluster.close())
  const address = cluster.address('s1')
  await waitFor(async () => ((await servingStatus(address)) === 'SERVING' ? true : undefined), {
    what: 'SERVING',
    limitMs: 5000,
  })
  const services = await listedServices(address)
  for (const name of ['banyan.v1.FileService', 'banyan.peer.v1.PeerService', 'banyan.admin.v1.AdminService']) {
    t.ok(services.includes(name), name)
  }
})
