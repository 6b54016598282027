import { isIP } from 'node:net'

export interface HostAndPort {
  readonly host: string
  readonly port: number | undefined
}

/** `10.0.0.1`, `10.0.0.1:7400`, `alpha.example.org:7400`, `fd00::1`, `[fd00::1]:7400`; undefined: it is none of these. */
export function parseAddress(text: string): HostAndPort | undefined {
  if (isIP(text) !== 0) return { host: text, port: undefined }
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]{1,253}))(?::(\d{1,5}))?$/i.exec(text) ?? []
  const host = bracketed ?? plain
  if (host === undefined || host.startsWith('-') || (bracketed !== undefined && isIP(bracketed) !== 6)) return undefined
  const port = digits === undefined ? undefined : Number(digits)
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined
  return { host, port }
}

/** As gRPC dials it. */
export function formatAddress({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}
