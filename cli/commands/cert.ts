import { chmodSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { isIP } from 'node:net'
import path from 'node:path'
import { codeOf, Failure } from '../failure.ts'
import { nodeNamed } from '../node-name.ts'
import { identityFiles, mustBePrivate } from '../tls/node-identity.ts'
import { makeCertificate, type Wanted } from '../tls/openssl.ts'

const authorityDays = 20 * 365
const nodeDays = 5 * 365

export interface AuthorityCommand {
  readonly folder: string
}

/** Makes the cluster's own authority. @returns what was made, for a person. @throws Failure */
export function makeAuthority({ folder }: AuthorityCommand): string {
  const files = authorityFiles(folder)
  for (const file of Object.values(files)) {
    if (!existsSync(file)) continue
    throw new Failure(`there is an authority already: ${file}`, {
      meaning: 'With another one no host would know any other, so nothing was changed',
      remedy: 'Name another folder with --folder DIR',
    })
  }
  writeInto(folder, files, {
    name: 'banyan authority',
    alsoKnownAs: [],
    days: authorityDays,
    signer: undefined,
  })
  return `Made ${files.certificate}, for every host, and ${files.key}: who has that can make hosts. Keep it away from them.`
}

export interface NodeCertificateCommand {
  readonly folder: string
  readonly name: string
  /** Its addresses, where others (etcd) know it by those. */
  readonly addresses: readonly string[]
}

/** One host's certificate and key, signed by the authority in the same folder. @returns what was made. @throws Failure */
export function makeNodeCertificate({ addresses, folder, name }: NodeCertificateCommand): string {
  const node = nodeNamed(name, { meaning: 'No certificate was made', remedy: 'Choose another name' })
  const alsoKnownAs = addresses.map(alternativeName)
  const signer = authorityFiles(folder)
  if (!existsSync(signer.key) || !existsSync(signer.certificate)) {
    throw new Failure(`there is no authority in ${folder}`, {
      meaning: 'Nobody could vouch for the host, so nothing was made',
      remedy: 'Run "banyan cert authority" once for the cluster, or name its folder with --folder DIR',
    })
  }
  mustBePrivate(signer.key, 'Make it readable for you')
  const files = identityFiles(folder, node)
  writeInto(folder, files, { name: node, alsoKnownAs, days: nodeDays, signer })
  return `Made ${files.certificate} and ${files.key}. Copy them, and ${files.authority}, to ${name}: /etc/banyan, or tls.folder.`
}

interface CertificateFiles {
  readonly certificate: string
  readonly key: string
}

const authorityFiles = (folder: string): CertificateFiles => ({
  certificate: path.join(folder, 'authority.crt'),
  key: path.join(folder, 'authority.key'),
})

/** Both or none: a certificate that does not fit its key is worse than none. */
function writeInto(folder: string, files: CertificateFiles, wanted: Wanted): void {
  const fresh = { certificate: `${files.certificate}.new`, key: `${files.key}.new` }
  const mask = process.umask(0o077)
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 })
    makeCertificate(fresh, wanted)
    chmodSync(fresh.certificate, 0o644)
    renameSync(fresh.key, files.key)
    renameSync(fresh.certificate, files.certificate)
  } catch (error) {
    for (const file of Object.values(fresh)) rmSync(file, { force: true })
    if (error instanceof Failure) throw error
    throw new Failure(`cannot write into ${folder}: ${codeOf(error)}`, {
      meaning: 'No certificate was made',
      remedy: 'Name another folder with --folder DIR',
      cause: error,
    })
  } finally {
    process.umask(mask)
  }
}

/** A host name needs a dot: without one it could be another node's name. */
function alternativeName(address: string): string {
  if (isIP(address) !== 0) return `IP:${address}`
  if (/^[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(address)) return `DNS:${address}`
  throw new Failure(`${address} is neither an IP address nor a host name with a domain`, {
    meaning: 'No certificate was made',
    remedy: 'Name for example --address 10.0.0.1 or --address alpha.example.org',
  })
}
