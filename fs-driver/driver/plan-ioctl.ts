import { errnos } from '../../proto/errno.ts'
import { decodeFsxattr, encodeFsxattr, ioctls } from '../protocol/ioctl.ts'
import type { ReplyBody } from '../protocol/reply.ts'
import type { RequestOf } from '../protocol/request.ts'
import type { FileResult } from '../router/file-client.ts'
import type { Calling, Plan } from './plan.ts'
import { expectResult } from './results.ts'

/** chattr(1) and lsattr(1). Everything else is ENOTTY: programs ask isatty() of files. Pure. */
export function planIoctl({ header, args }: RequestOf<'IOCTL'>): Plan {
  const ino = header.nodeid
  switch (args.command) {
    case ioctls.getFlags:
      return asking(ino, (flags) => {
        const data = Buffer.alloc(Math.min(Math.max(args.outSize, 4), 8))
        data.writeUInt32LE(flags)
        return data
      })
    case ioctls.getAttributes:
      return asking(ino, encodeFsxattr)
    case ioctls.setFlags:
      return args.data.length < 4 ? refused('EINVAL') : changing(ino, args.data.readUInt32LE())
    case ioctls.setAttributes: {
      const flags = decodeFsxattr(args.data)
      return flags === undefined ? refused('EOPNOTSUPP') : changing(ino, flags)
    }
    default:
      return refused('ENOTTY')
  }
}

const refused = (errno: 'EINVAL' | 'EOPNOTSUPP' | 'ENOTTY'): Plan => ({
  kind: 'local',
  reply: { kind: 'error', errno: errnos[errno] },
})

function asking(ino: bigint, encode: (flags: number) => Buffer): Calling {
  const answer = (result: FileResult): ReplyBody => {
    return { kind: 'ioctl', data: encode(expectResult(result, 'attributes').value.flags ?? 0) }
  }
  return { kind: 'call', call: { $case: 'getattr', value: { ino } }, judged: false, answer }
}

function changing(ino: bigint, flags: number): Calling {
  const value = { ino, flags, atime: undefined, mtime: undefined, openForWriting: false, killPrivileges: false }
  const answer = (result: FileResult): ReplyBody => {
    expectResult(result, 'attributes')
    return { kind: 'ioctl', data: Buffer.alloc(0) }
  }
  return { kind: 'call', call: { $case: 'setattr', value }, judged: true, answer }
}
