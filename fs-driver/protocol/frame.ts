/**
 * A buffer for requests and a view on the same bytes. Made once and used for many requests: all its pages are there from the
 * beginning. Where one is not, the kernel has to wait for it as it copies a request, does not when the process is being
 * killed, and answers that request with EIO (fs/fuse/dev.c, fuse_dev_do_read) instead of giving it to the next driver.
 */
export interface Frame {
  readonly bytes: Buffer
  readonly view: DataView<ArrayBuffer>
}

export function newFrame(sizeBytes: number): Frame {
  const bytes = Buffer.allocUnsafeSlow(sizeBytes).fill(0)
  return { bytes, view: new DataView(bytes.buffer) }
}

/** `bytes` as a frame; nothing is copied. */
export function frameOf(bytes: Buffer<ArrayBuffer>): Frame {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) }
}
