import type { LockRange } from '../../proto/generated/file-service.ts'
import type { RequestOf } from '../protocol/request.ts'
import type { LockPlan } from './locks.ts'
import type { Calling } from './plan.ts'
import { answerLock } from './results.ts'

/** What is done about locks; closing a descriptor, or an open file, is about them alone. Pure. */
export function planLock(
  request: RequestOf<'GETLK' | 'SETLK' | 'SETLKW' | 'FLUSH' | 'RELEASE' | 'RELEASEDIR'>,
): LockPlan | Calling {
  const ino = request.header.nodeid
  switch (request.op) {
    case 'FLUSH':
      return { kind: 'flush', ino, owner: request.args.lockOwner }
    case 'RELEASE':
    case 'RELEASEDIR':
      return { kind: 'release', ino, fh: request.args.fh }
    case 'GETLK': {
      const call = { $case: 'getLock', value: { range: rangeOf(request) } } as const
      return { kind: 'call', call, judged: false, answer: answerLock }
    }
    case 'SETLK':
    case 'SETLKW': {
      const range = rangeOf(request)
      if (request.args.unlock) return { kind: 'unlock', range } // it may come as SETLKW too
      return { kind: 'lock', range, handle: request.args.fh, waits: request.op === 'SETLKW' }
    }
  }
}

function rangeOf({ header, args }: RequestOf<'GETLK' | 'SETLK' | 'SETLKW'>): LockRange {
  const { owner, flock, exclusive, start, end } = args
  return { ino: header.nodeid, owner, flock, exclusive, start, end }
}
