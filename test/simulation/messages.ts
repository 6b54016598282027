import type { Message } from '../../replication/message.ts'

const headerBytes = 60

/** About how long a message is on the wire. */
export function sizeOf(message: Message): number {
  if (message.kind === 'attached') return headerBytes + 40 * message.work.length
  if (message.kind === 'fetch') return message.wanted.reduce((sum, { digests }) => sum + digests.length, headerBytes)
  if (message.kind !== 'stream') return headerBytes
  const { content } = message
  if (content.kind === 'slice') return headerBytes + content.slice.body.length
  if (content.kind !== 'entries') return headerBytes
  return content.entries.reduce((sum, entry) => sum + headerBytes + entry.body.length, 0)
}

/** A message in one line, for people. */
export function tell(message: Message): string {
  if (message.kind !== 'stream') {
    const { kind, epoch: _epoch, incarnation: _incarnation, ...rest } = message
    return `${kind} ${show(rest)}`
  }
  const { content } = message
  const head = `stream ${message.attempt}.${message.number} committed ${message.committed}`
  if (content.kind === 'entries') {
    const labels = content.entries.map((entry) => `${entry.epoch}:${entry.seq}`)
    return `${head} entries ${labels.join(' ')}`
  }
  if (content.kind !== 'slice') return `${head} ${show(content)}`
  const { body, ...slice } = content.slice
  return `${head} slice ${content.ticket} ${show(slice)} ${Buffer.from(body).toString('latin1')}`
}

/** In one line, for people; without bodies. */
export function show(value: unknown): string {
  return JSON.stringify(value, (key, part: unknown) => {
    if (typeof part === 'bigint') return String(part)
    if (key === 'body') return undefined
    return part instanceof Uint8Array ? Buffer.from(part).toString('latin1') : part
  })
}
