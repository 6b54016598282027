import type { RequestOf } from '../protocol/request.ts'
import type { FileResult } from '../router/file-client.ts'
import { isDurableHandle } from './handle-table.ts'
import type { Calling } from './plan.ts'
import { answerDone, expectResult } from './results.ts'

/**
 * What is asked about, or done to, a range of a file without its bytes going through the driver. Through a descriptor of
 * O_SYNC or O_DSYNC it is on the disks when it is answered; that is the handle's to say, as these requests carry no flags.
 * Source: fs/ext4/extents.c, ext4_fallocate; fs/splice.c, iter_file_splice_write (copies are writes of the target). Pure.
 */
export function planRange(
  request: RequestOf<'LSEEK' | 'FALLOCATE' | 'COPY_FILE_RANGE' | 'COPY_FILE_RANGE_64'>,
): Calling {
  const ino = request.header.nodeid
  switch (request.op) {
    case 'LSEEK': {
      const { offset, whence } = request.args
      return {
        kind: 'call',
        call: { $case: 'lseek', value: { ino, offset, whence } },
        judged: false,
        answer: (result) => ({ kind: 'place', offset: expectResult(result, 'place').value.offset }),
      }
    }
    case 'FALLOCATE': {
      const { fh, offset, length, mode } = request.args
      const call = { $case: 'fallocate', value: { ino, offset, length, mode } } as const
      return { kind: 'call', call, judged: true, durable: isDurableHandle(fh) ? ino : undefined, answer: answerDone }
    }
    case 'COPY_FILE_RANGE':
    case 'COPY_FILE_RANGE_64': {
      const { offset, targetIno, targetFh, targetOffset, length } = request.args
      const value = { source: ino, sourceOffset: offset, ino: targetIno, offset: targetOffset, length }
      const copied = (result: FileResult): number => expectResult(result, 'written').value.length
      const answer: Calling['answer'] =
        request.op === 'COPY_FILE_RANGE'
          ? (result) => ({ kind: 'written', length: copied(result) })
          : (result) => ({ kind: 'place', offset: BigInt(copied(result)) })
      const durable = isDurableHandle(targetFh) ? targetIno : undefined
      return { kind: 'call', call: { $case: 'copyRange', value }, judged: true, durable, answer }
    }
  }
}
