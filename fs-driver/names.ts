// Names are bytes; as text, each byte is one character.

export const textOf = (name: Uint8Array): string =>
  Buffer.from(name.buffer, name.byteOffset, name.length).toString('latin1')

/** The other way round. */
export const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1')

/** A name in a directory, as a key. */
export const nameKey = (dir: bigint, name: Uint8Array): string => `${dir}/${textOf(name)}`

const nameBytesMax = 255
/** May it be one? The servers say what is wrong with others. */
export const isName = (name: Uint8Array): boolean => name.length > 0 && name.length <= nameBytesMax

/** `.` or `..`. */
export const isDot = (name: Uint8Array): boolean =>
  name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e))
