import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Server } from '@grpc/grpc-js'
import t from 'tap'
import { makeAuthority, makeNodeCertificate } from '../../cli/commands/cert.ts'
import { dialPlaintext, dialWith } from '../../cli/tls/dial.ts'
import { type NodeIdentity, readIdentity } from '../../cli/tls/node-identity.ts'
import type { Dial } from '../../proto/channel.ts'
import { DirectoryServiceService } from '../../proto/generated/directory-service.ts'
import { PeerServiceService } from '../../proto/generated/peer-service.ts'
import { type Incarnation, incarnation, nodeId } from '../../proto/ids.ts'
import { newRecord } from '../../replication/record.ts'
import { DirectoryClient } from '../../server/directory/client.ts'
import { EmbeddedDirectory } from '../../server/directory/embedded.ts'
import { seenFrom } from '../../server/directory/reachable.ts'
import { directoryService } from '../../server/directory/service.ts'
import { byCertificate } from '../../server/rpc/identity.ts'
import { listenAt } from '../../server/rpc/listener.ts'
import { peerFrameBytes } from '../../server/rpc/peer-frame.ts'
import { PeerNetwork } from '../../server/rpc/peer-network.ts'
import { waitFor } from '../fixtures/wait.ts'
import { advert } from '../server/directory/suite.ts'

const folder = mkdtempSync(path.join(os.tmpdir(), 'banyan-tls-'))
const strangers = path.join(folder, 'strangers')
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
for (const [where, names] of [[folder, ['alpha', 'beta']] as const, [strangers, ['beta']] as const]) {
  makeAuthority({ folder: where })
  for (const name of names) makeNodeCertificate({ folder: where, name, addresses: [] })
}
const identity = (name: string, where = folder): NodeIdentity => readIdentity(where, nodeId(name))

/** alpha, with a directory and a peer service, on a port of its own. */
async function alpha(t: { teardown(end: () => unknown): unknown }, peers?: PeerNetwork): Promise<string> {
  const directory = await EmbeddedDirectory.open(mkdtempSync(path.join(folder, 'directory-')))
  const server = new Server()
  server.addService(DirectoryServiceService, directoryService(directory, { peerOf: byCertificate }))
  const subscribe = { ...PeerServiceService.subscribe, responseSerialize: peerFrameBytes }
  if (peers !== undefined) server.addService({ subscribe }, peers.service(byCertificate))
  const port = await listenAt(server, { kind: 'tls', address: '127.0.0.1:0', identity: identity('alpha') })
  t.teardown(async () => {
    server.forceShutdown()
    await directory.close()
  })
  return `127.0.0.1:${port}`
}

const asks = async (address: string, dial: Dial): Promise<string> => {
  const client = new DirectoryClient(address, dial)
  try {
    const { record } = await client.createRecord('main', newRecord([nodeId('alpha')]))
    return record.members.join()
  } catch (error) {
    return error instanceof Error ? error.name : 'no error'
  } finally {
    client.close()
  }
}

void t.test('only a node of the same authority gets in, and only the node that was meant answers', async (t) => {
  const at = await alpha(t)
  t.equal(await asks(`alpha@${at}`, dialWith(identity('beta'))), 'alpha')
  t.equal(await asks(`beta@${at}`, dialWith(identity('beta'))), 'DirectoryUnavailable', 'this is not beta')
  t.equal(
    await asks(`alpha@${at}`, dialWith(identity('beta', strangers))),
    'DirectoryUnavailable',
    'a strange authority',
  )
  t.equal(await asks(`alpha@${at}`, dialPlaintext), 'DirectoryUnavailable', 'no encryption')
})

void t.test('a node speaks for itself only', async (t) => {
  const at = await alpha(t)
  const beta = new DirectoryClient(`alpha@${at}`, dialWith(identity('beta')))
  t.teardown(() => beta.close())
  await t.resolves(beta.attestDeath(nodeId('beta'), incarnation('beta-a')))
  await t.rejects(beta.attestDeath(nodeId('alpha'), incarnation('alpha-a')), { name: 'DirectoryRefusal' })
  let seen: readonly string[] = []
  seenFrom('beta', beta).watch('main', {
    record: () => {},
    death: () => {},
    providers: (adverts) => {
      seen = adverts.map(({ address }) => address)
    },
  })
  beta.advertise('main', advert(nodeId('alpha'), { host: 'alpha' }))
  beta.advertise('main', advert(nodeId('beta'), { incarnation: incarnation('beta-b'), host: 'alpha' }))
  await waitFor(() => seen.length > 0 || undefined, { what: 'an advert', limitMs: 5000 })
  t.same(seen, ['beta@beta.example.org:7400'])
})

void t.test('a peer is who its certificate says', async (t) => {
  const events: string[] = []
  const network = (node: string, by: Dial): PeerNetwork =>
    new PeerNetwork({
      dial: by,
      node: nodeId(node),
      incarnation: `${node}-1` as Incarnation,
      volume: 'main',
      log: (event, fields) => void events.push(`${node} ${event} ${String(fields['node'])}`),
      onMessage: () => {},
      onFileServer: () => {},
      onConnected: () => {},
    })
  const server = network('alpha', dialWith(identity('alpha')))
  const at = await alpha(t, server)
  const [honest, liar] = [network('beta', dialWith(identity('beta'))), network('gamma', dialWith(identity('beta')))]
  t.teardown(() => [honest, liar, server].forEach((one) => one.close()))
  honest.learn(nodeId('alpha'), `alpha@${at}`, incarnation('alpha-1'))
  liar.learn(nodeId('alpha'), `alpha@${at}`, incarnation('alpha-1'))
  const seen = (line: string): true | undefined => events.includes(line) || undefined
  await waitFor(() => seen('beta peer.connected alpha'), { what: 'beta to be connected', limitMs: 5000 })
  await waitFor(() => seen('alpha peer.refused gamma'), { what: 'the liar to be refused', limitMs: 5000 })
  t.notOk(seen('gamma peer.connected alpha'))
})
