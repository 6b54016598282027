import http from 'node:http'
import https from 'node:https'
import { z } from 'zod'
import type { NodeId } from '../../proto/ids.ts'
import { codeOf, oneLine } from '../failure.ts'
import type { Answer } from './beginning.ts'
import { readIdentityFiles } from './identity-files.ts'
import { type ManagedEtcd, peerUrl } from './managed-etcd.ts'

const answerMs = 2000
/** A list of members has some hundred bytes for each. */
const answerBytesMax = 1 << 20

const listed = z.array(
  z.object({
    id: z.union([z.number(), z.string()]),
    name: z.string().default(''),
    peerURLs: z.array(z.string()),
    clientURLs: z.array(z.string()).default([]),
  }),
)

/** Asks a host's member for the list that members give each other: they have it before there is a majority, too. */
export async function askMembers(etcd: ManagedEtcd, node: NodeId): Promise<Answer> {
  try {
    const text = await get(etcd, node)
    // Numbers of members have 64 bits: read as text.
    const members = listed.parse(JSON.parse(text.replaceAll(/"id":(\d+)/g, '"id":"$1"')))
    return {
      kind: 'members',
      members: members.map((one) => ({
        id: String(one.id),
        name: one.name,
        peerUrls: one.peerURLs,
        clientUrls: one.clientURLs,
      })),
    }
  } catch (error) {
    return codeOf(error) === 'ECONNREFUSED' ? { kind: 'nothing' } : { kind: 'unreachable', why: oneLine(error) }
  }
}

function get(etcd: ManagedEtcd, node: NodeId): Promise<string> {
  const { tls } = etcd
  const at = new URL('/members', peerUrl(etcd, node))
  const signal = AbortSignal.timeout(answerMs)
  return new Promise((resolve, reject) => {
    const answered = (response: http.IncomingMessage): void => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        text += part
        if (text.length > answerBytesMax) response.destroy(new Error('too long'))
      })
      response.on('error', reject)
      response.on('end', () => (response.statusCode === 200 ? resolve(text) : reject(new Error(text))))
    }
    const how = { signal, agent: false }
    const request =
      tls === undefined
        ? http.get(at, how, answered)
        : https.get(at, { ...how, ...provenBy(tls), servername: node }, answered)
    request.on('error', reject)
  })
}

function provenBy(files: NonNullable<ManagedEtcd['tls']>): Pick<https.RequestOptions, 'ca' | 'cert' | 'key'> {
  const { authority, certificate, key } = readIdentityFiles(files)
  return { ca: authority, cert: certificate, key }
}
