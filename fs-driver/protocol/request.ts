import { Body, MalformedError } from './body.ts'
import type { Frame } from './frame.ts'
import type { Negotiated } from './negotiate.ts'
import type { Args, Opcode, Row } from './opcode.ts'
import { opcodes } from './opcode.ts'

/** fuse_in_header, 40 bytes. */
export interface InHeader {
  readonly opcode: number
  /** Names the request in its reply, exactly so: bit 63 says that it was sent again. */
  readonly unique: bigint
  /** An inode number: this driver hands out no others. */
  readonly nodeid: bigint
  readonly uid: number
  readonly gid: number
  readonly pid: number
  /** Supplementary groups that the kernel told (CREATE_SUPP_GROUP): at most the parent's. */
  readonly groups: readonly number[]
}

export type Request = {
  [Op in Opcode]: { readonly op: Op; readonly header: InHeader; readonly args: Args<Op> }
}[Opcode]
export type RequestOf<Op extends Opcode> = Extract<Request, { op: Op }>

/** Not in the table: a newer kernel's. */
export interface Unknown {
  readonly op: 'unknown'
  readonly header: InHeader
}

/** `header`: present if there is somebody to answer. */
export interface Malformed {
  readonly op: 'malformed'
  readonly header: InHeader | undefined
  readonly reason: string
}

export const headerSize = 40
/** Bit 63 of `unique`: the request was sent again after RESEND. */
export const resentBit = 1n << 63n
const extensionGroups = 32 // FUSE_EXT_GROUPS
const groupsMax = 32 // FUSE_MAX_NR_SECCTX and its like; the kernel sends one

const byCode: readonly (readonly [Opcode, Row])[] = (() => {
  const rows: (readonly [Opcode, Row])[] = []
  for (const [op, row] of Object.entries(opcodes)) rows[row.code] = [op as Opcode, row]
  return rows
})()

const noGroups: readonly number[] = []

/** Records of `u32 size, u32 type`, each padded to 8 bytes; types that are not known are passed over. */
function decodeExtensions(body: Body): readonly number[] {
  let groups = noGroups
  while (body.left > 0) {
    const [size, type] = [body.u32(), body.u32()]
    if (size < 8) throw new MalformedError('an extension shorter than its head')
    const rest = body.part(Math.ceil(size / 8) * 8 - 8)
    if (type !== extensionGroups) continue
    const count = rest.u32()
    if (count > groupsMax) throw new MalformedError(`${count} groups`)
    groups = Array.from({ length: count }, () => rest.u32())
  }
  return groups
}

/**
 * One message of the kernel, `length` bytes at the front of `frame`. Total: any bytes give a value. Names and values
 * are copies; WRITE's data lies in the frame.
 */
export function parseRequest(frame: Frame, length: number, negotiated: Negotiated): Request | Unknown | Malformed {
  if (length < headerSize || length > frame.bytes.length) {
    return { op: 'malformed', header: undefined, reason: `${length} bytes are no request` }
  }
  const { view } = frame
  const opcode = view.getUint32(4, true)
  const extensionsSize = view.getUint16(36, true) * 8
  const header = {
    opcode,
    unique: view.getBigUint64(8, true),
    nodeid: view.getBigUint64(16, true),
    uid: view.getUint32(24, true),
    gid: view.getUint32(28, true),
    pid: view.getUint32(32, true),
    groups: noGroups,
  }
  if (view.getUint32(0, true) !== length) return { op: 'malformed', header, reason: 'its length is another' }
  const entry = byCode[opcode]
  if (entry === undefined) return { op: 'unknown', header }
  const end = length - extensionsSize
  if (end < headerSize) return { op: 'malformed', header, reason: 'extensions longer than the request' }
  try {
    if (extensionsSize > 0) header.groups = decodeExtensions(new Body(frame, end, length))
    const [op, row] = entry
    const args = row.decode(new Body(frame, headerSize, end), negotiated)
    return { op, header, args } as Request // the table pairs op and args
  } catch (error) {
    if (error instanceof MalformedError) return { op: 'malformed', header, reason: error.message }
    throw error
  }
}

/** Whether the kernel waits for an answer to `opcode`. */
export function isAnswered(opcode: number): boolean {
  return byCode[opcode]?.[1].answered ?? true
}
