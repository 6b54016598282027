import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { codeOf, Failure } from '../failure.ts'

export interface Wanted {
  /** Subject, and for a node the name that others check. */
  readonly name: string
  /** Further names of a node, as OpenSSL writes them: `IP:10.0.0.1`, `DNS:alpha.example.org`. */
  readonly alsoKnownAs: readonly string[]
  readonly days: number
  /** undefined: it signs itself, and may sign others. */
  readonly signer: { readonly certificate: string; readonly key: string } | undefined
}

/** Valid from so long ago: a host whose clock is behind by less must not refuse what was made a moment ago. */
const backdatedMs = 24 * 3600 * 1000
const dayMs = 24 * 3600 * 1000

/**
 * Makes a key and its certificate with the system's OpenSSL. The settings are handed over whole: what the system's own
 * openssl.cnf says has no part in it.
 *
 * @throws Failure
 */
export function makeCertificate(files: { readonly certificate: string; readonly key: string }, wanted: Wanted): void {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'banyan-cert-'))
  const below = (name: string): string => path.join(folder, name)
  try {
    writeFileSync(below('settings'), settingsFor(folder, wanted))
    writeFileSync(below('index'), '')
    openssl(['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', files.key])
    const request = ['req', '-new', '-config', below('settings'), '-key', files.key, '-out', below('request')]
    openssl([...request, '-subj', `/CN=${wanted.name}`])
    const { signer } = wanted
    const signed =
      signer === undefined
        ? ['-selfsign', '-keyfile', files.key]
        : ['-cert', signer.certificate, '-keyfile', signer.key]
    const from = Date.now() - backdatedMs
    const dates = ['-startdate', asn1(from), '-enddate', asn1(from + wanted.days * dayMs)]
    const how = ['-batch', '-notext', '-config', below('settings'), '-name', 'authority']
    openssl(['ca', ...how, ...signed, ...dates, '-in', below('request'), '-out', files.certificate])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function settingsFor(folder: string, { alsoKnownAs, name, signer }: Wanted): string {
  const extensions =
    signer === undefined
      ? ['basicConstraints = critical, CA:TRUE, pathlen:0', 'keyUsage = critical, keyCertSign, cRLSign']
      : [
          'basicConstraints = critical, CA:FALSE',
          'keyUsage = critical, digitalSignature',
          'extendedKeyUsage = serverAuth, clientAuth',
          `subjectAltName = ${[`DNS:${name}`, ...alsoKnownAs].join(', ')}`,
          'authorityKeyIdentifier = keyid',
        ]
  return [
    '[req]',
    'distinguished_name = subject',
    'prompt = no',
    '[subject]',
    `CN = ${name}`,
    '[authority]',
    `database = ${path.join(folder, 'index')}`,
    `new_certs_dir = ${folder}`,
    'default_md = sha256',
    'rand_serial = yes',
    'policy = policy',
    'x509_extensions = extensions',
    'unique_subject = no',
    '[policy]',
    'commonName = supplied',
    '[extensions]',
    'subjectKeyIdentifier = hash',
    ...extensions,
    '',
  ].join('\n')
}

function openssl(args: readonly string[]): void {
  const ran = spawnSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  if (ran.status === 0) return
  if (codeOf(ran.error) === 'ENOENT') {
    throw new Failure('the program openssl is missing', {
      meaning: 'No certificate was made',
      remedy: 'Install it ("apt-get install openssl"), then run this again',
    })
  }
  const said = ran.stderr.trim().split('\n').slice(-3).join('; ')
  throw new Failure(`openssl ${args[0]} failed: ${said || ran.error?.message || ran.signal}`, {
    meaning: 'No certificate was made',
  })
}

/** `20261123024500Z` */
const asn1 = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}Z`
