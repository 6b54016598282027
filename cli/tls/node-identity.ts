import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import type { NodeId } from '../../proto/ids.ts'
import type { ServerIdentity } from '../../server/rpc/listener.ts'
import { codeOf, Failure } from '../failure.ts'

/** What a node proves itself with, and the authority that says who the others are. PEM. */
export type NodeIdentity = ServerIdentity

/** The files of one folder: `authority.crt` on every host, and each host's own two. */
export function identityFiles(
  folder: string,
  node: string,
): { readonly authority: string; readonly certificate: string; readonly key: string } {
  return {
    authority: path.join(folder, 'authority.crt'),
    certificate: path.join(folder, `${node}.crt`),
    key: path.join(folder, `${node}.key`),
  }
}

/** Reads and judges the files: better refused here than by every other host. @throws Failure */
export function readIdentity(folder: string, node: NodeId): NodeIdentity {
  const files = identityFiles(folder, node)
  const authority = read(files.authority, 'Copy it from the folder where "banyan cert authority" was run')
  const make = `Make it with "banyan cert node ${node}"`
  const certificate = read(files.certificate, make)
  mustBePrivate(files.key, make)
  const key = read(files.key, make)
  const [ca, own] = [parse(authority, files.authority), parse(certificate, files.certificate)]
  const meaning = 'Other hosts would refuse this one'
  if (!own.checkIssued(ca) || !own.verify(ca.publicKey)) {
    throw new Failure(`${files.certificate} is not from the authority in ${files.authority}`, { meaning, remedy: make })
  }
  if (!own.subject.split('\n').includes(`CN=${node}`) || own.checkHost(node) === undefined) {
    throw new Failure(`${files.certificate} is not the certificate of ${node}`, { meaning, remedy: make })
  }
  const now = Date.now()
  if (now > Date.parse(own.validTo) || now < Date.parse(own.validFrom)) {
    throw new Failure(`${files.certificate} is valid from ${own.validFrom} to ${own.validTo} only`, {
      meaning,
      remedy: `See whether this host's clock is right. ${make}`,
    })
  }
  if (!own.checkPrivateKey(privateKey(key, files.key))) {
    throw new Failure(`${files.key} is not the key of ${files.certificate}`, { meaning, remedy: make })
  }
  return { authority, certificate, key }
}

/** @throws Failure when anybody but its owner may read it */
export function mustBePrivate(file: string, remedy: string): void {
  let mode: number
  try {
    mode = statSync(file).mode
  } catch (error) {
    throw new Failure(`cannot read ${file}: ${codeOf(error)}`, { remedy, cause: error })
  }
  if ((mode & 0o077) === 0) return
  throw new Failure(`${file} can be opened by others (mode ${(mode & 0o777).toString(8)})`, {
    meaning: 'Whoever has read it can pose as this host, so it is not used',
    remedy: `Run "chmod 600 ${file}"; if somebody may have read it, make another`,
  })
}

function read(file: string, remedy: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new Failure(`cannot read ${file}: ${codeOf(error)}`, { remedy, cause: error })
  }
}

function parse(pem: Buffer, file: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (error) {
    throw new Failure(`${file} is no certificate`, { remedy: 'Make it with "banyan cert"', cause: error })
  }
}

function privateKey(pem: Buffer, file: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (error) {
    throw new Failure(`${file} is no private key`, { remedy: 'Make it with "banyan cert"', cause: error })
  }
}
