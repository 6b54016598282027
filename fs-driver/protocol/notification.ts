import { outHeaderSize } from './reply.ts'

/** Codes of notifications: driver to kernel, unasked. Source: enum fuse_notify_code. */
export const notificationCodes = { INVAL_INODE: 2, INVAL_ENTRY: 3, DELETE: 6, RESEND: 7, INC_EPOCH: 8 } as const

export type Notification =
  /** Drops the attributes, and the pages from `offset` on (`length` 0: to the end); `offset` -1: no pages. */
  | { readonly kind: 'INVAL_INODE'; readonly ino: bigint; readonly offset: bigint; readonly length: bigint }
  /** `expireOnly`: the name is asked for again at its next use, its inode stays. */
  | { readonly kind: 'INVAL_ENTRY'; readonly parent: bigint; readonly name: Uint8Array; readonly expireOnly: boolean }
  | { readonly kind: 'DELETE'; readonly parent: bigint; readonly child: bigint; readonly name: Uint8Array }
  /** All requests that were read and not answered come again, with bit 63. */
  | { readonly kind: 'RESEND' }
  /** Every name the kernel has is stale. */
  | { readonly kind: 'INC_EPOCH' }

function head(kind: keyof typeof notificationCodes, bodySize: number): { bytes: Buffer; view: DataView } {
  const bytes = Buffer.alloc(outHeaderSize + bodySize)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  view.setUint32(0, bytes.length, true)
  view.setInt32(4, notificationCodes[kind], true)
  return { bytes, view }
}

/**
 * The bytes of one write. INVAL_ENTRY, DELETE, and INVAL_INODE with pages wait in the kernel while requests of the same
 * directory or range are unanswered: they must never be written from the thread that answers.
 */
export function encodeNotification(notification: Notification): Buffer {
  const { kind } = notification
  switch (kind) {
    case 'RESEND':
    case 'INC_EPOCH':
      return head(kind, 0).bytes
    case 'INVAL_INODE': {
      const { bytes, view } = head(kind, 24)
      view.setBigUint64(16, notification.ino, true)
      view.setBigInt64(24, notification.offset, true)
      view.setBigInt64(32, notification.length, true)
      return bytes
    }
    case 'INVAL_ENTRY': {
      const { name } = notification
      const { bytes, view } = head(kind, 16 + name.length + 1)
      view.setBigUint64(16, notification.parent, true)
      view.setUint32(24, name.length, true)
      view.setUint32(28, notification.expireOnly ? 1 : 0, true)
      bytes.set(name, 32)
      return bytes
    }
    case 'DELETE': {
      const { name } = notification
      const { bytes, view } = head(kind, 24 + name.length + 1)
      view.setBigUint64(16, notification.parent, true)
      view.setBigUint64(24, notification.child, true)
      view.setUint32(32, name.length, true)
      bytes.set(name, 40)
      return bytes
    }
  }
}
