import type { Caller, Operation, Reply } from '../../proto/generated/file-service.ts'

/** One file operation, as the protocol has it. */
export type FileCall = NonNullable<Operation['kind']>

/** What a file operation answers. Which case belongs to which operation says file-service.proto. */
export type FileResult = NonNullable<Reply['kind']>

/** What an operation came to: its result, or a Linux errno. */
export type Outcome =
  | { readonly kind: 'result'; readonly result: FileResult }
  | { readonly kind: 'errno'; readonly errno: number }

/** What names a call durably (S26), and how it may be interrupted. */
export interface CallIdentity {
  /** The kernel's number of the request, without the bit that marks a request sent again. */
  readonly unique: bigint
  /** 0, 1, 2, ... within one request. */
  readonly step: number
  /** INTERRUPT of the request. */
  readonly signal?: InterruptSignal
  /** Of a change: inodes about which nothing is kept here until it is answered; see Request.invalidated. */
  readonly invalidated?: readonly bigint[]
  /**
   * Called when a provider's answer comes, among all else that comes from there in its order; what the call resolves to
   * is heard later. Not called for what no provider has said. `leased`: see Response.leased.
   */
  readonly onOutcome?: (outcome: Outcome, leased: readonly bigint[]) => void
  /** Others wait for it, so it must not wait behind what may wait for them: it has slots of its own (S26). */
  readonly urgent?: boolean
  /** Waits however long no provider answers: what must not be left undone, and nobody waits for. */
  readonly patient?: boolean
}

/** As much of an AbortSignal as is needed: a real one costs more than all else that is done for a request. */
export interface InterruptSignal {
  readonly aborted: boolean
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** The cluster's files, as the driver sees them. */
export interface FileClient {
  /**
   * Executes one operation. A change is executed once, whatever fails meanwhile, and whatever process asks again under
   * the same `unique` and `step`. While no provider answers it waits, up to `unavailableMs`, then EIO (S29).
   *
   * When `signal` is aborted: EINTR if the operation certainly has no effect, otherwise its true result.
   *
   * @throws FsError
   */
  call(operation: FileCall, caller: Caller, how: CallIdentity): Promise<FileResult>

  /**
   * The kernel has the answer of request `unique`: it does not ask again, so nothing of its calls need be remembered.
   * Until then the same calls may come again, from a driver that took over in the middle of the request.
   */
  answered?(unique: bigint): void
}
