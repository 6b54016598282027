/** A buffer for requests and a view on the same bytes. Made once and used for many requests. */
export interface Frame {
  readonly bytes: Buffer
  readonly view: DataView<ArrayBuffer>
}

export function newFrame(sizeBytes: number): Frame {
  const bytes = Buffer.allocUnsafeSlow(sizeBytes)
  return { bytes, view: new DataView(bytes.buffer) }
}

/** `bytes` as a frame; nothing is copied. */
export function frameOf(bytes: Buffer<ArrayBuffer>): Frame {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) }
}
