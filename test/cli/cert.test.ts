import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import t from 'tap'
import { makeAuthority, makeNodeCertificate } from '../../cli/commands/cert.ts'
import { readIdentity } from '../../cli/tls/node-identity.ts'
import { nodeId } from '../../proto/ids.ts'

const folderFor = (t: { teardown(end: () => void): unknown }): string => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'banyan-cert-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

void t.test('a node has what its authority made for it, and only its owner can read the keys', async (t) => {
  const folder = folderFor(t)
  makeAuthority({ folder })
  makeNodeCertificate({ folder, name: 'alpha', addresses: ['10.0.0.1', 'alpha.example.org', 'fd00::1'] })
  const { certificate } = readIdentity(folder, nodeId('alpha'))
  t.same(certificate, readFileSync(path.join(folder, 'alpha.crt')))
  for (const key of ['authority.key', 'alpha.key']) t.equal(statSync(path.join(folder, key)).mode & 0o777, 0o600, key)
  makeNodeCertificate({ folder, name: 'alpha', addresses: [] })
  t.not(certificate.compare(readIdentity(folder, nodeId('alpha')).certificate), 0, 'made again, it is another')
})

void t.test('an authority is never replaced', async (t) => {
  const folder = folderFor(t)
  makeAuthority({ folder })
  const before = readFileSync(path.join(folder, 'authority.key'))
  t.throws(() => makeAuthority({ folder }), { name: 'Failure', message: /there is an authority already/ })
  t.same(readFileSync(path.join(folder, 'authority.key')), before)
})

void t.test('what could not be used is refused before anybody else has to', async (t) => {
  const [folder, other] = [folderFor(t), folderFor(t)]
  const below = (name: string): string => path.join(folder, name)
  const refused = (says: RegExp, node = 'alpha'): void => {
    t.throws(() => readIdentity(folder, nodeId(node)), { name: 'Failure', message: says })
  }
  refused(/cannot read .*authority\.crt: ENOENT/)
  makeAuthority({ folder })
  refused(/cannot read .*alpha\.crt: ENOENT.*banyan cert node alpha/)
  makeNodeCertificate({ folder, name: 'alpha', addresses: [] })
  chmodSync(below('alpha.key'), 0o640)
  refused(/alpha\.key can be opened by others \(mode 640\).*chmod 600/)
  chmodSync(below('alpha.key'), 0o600)
  makeNodeCertificate({ folder, name: 'beta', addresses: [] })
  copyFileSync(below('beta.crt'), below('alpha.crt'))
  refused(/alpha\.crt is not the certificate of alpha/)
  makeAuthority({ folder: other })
  makeNodeCertificate({ folder: other, name: 'alpha', addresses: [] })
  copyFileSync(path.join(other, 'alpha.crt'), below('alpha.crt'))
  refused(/alpha\.crt is not from the authority/)
  copyFileSync(below('alpha.key'), below('alpha.crt'))
  refused(/alpha\.crt is no certificate/)
  copyFileSync(below('beta.crt'), below('beta.key'))
  chmodSync(below('beta.key'), 0o600)
  refused(/beta\.key is no private key/, 'beta')
})

void t.test('a name of a host without a domain could be a node: it is no address', async (t) => {
  const folder = folderFor(t)
  makeAuthority({ folder })
  t.throws(() => makeNodeCertificate({ folder, name: 'alpha', addresses: ['beta'] }), {
    name: 'Failure',
    message: /beta is neither an IP address nor a host name with a domain/,
  })
})
