import type { Attributes } from '../../proto/generated/file-service.ts'
import type { ReplyBody } from '../protocol/reply.ts'
import type { FileResult } from '../router/file-client.ts'

type Result<Case extends FileResult['$case']> = Extract<FileResult, { $case: Case }>

/** @throws Error if the server answered something else */
export function expectResult<Case extends FileResult['$case']>(result: FileResult, wanted: Case): Result<Case> {
  if (result.$case !== wanted) throw new Error(`the server answered ${result.$case} where ${wanted} was due`)
  return result as Result<Case> // just checked
}

export function entryOf(result: FileResult): Attributes {
  const { attributes } = expectResult(result, 'entry').value
  if (attributes === undefined) throw new Error('the server answered an entry without attributes')
  return attributes
}

export const answerEntry = (result: FileResult): ReplyBody => ({ kind: 'entry', attributes: entryOf(result) })
export const answerData = (result: FileResult): ReplyBody => ({
  kind: 'data',
  data: expectResult(result, 'data').value,
})
export const answerLock = (result: FileResult): ReplyBody => ({
  kind: 'lock',
  lock: expectResult(result, 'heldLock').value,
})
export const answerSpace = (result: FileResult): ReplyBody => ({
  kind: 'space',
  space: expectResult(result, 'space').value,
})
export const answerAttributes = (result: FileResult): ReplyBody => ({
  kind: 'attributes',
  attributes: expectResult(result, 'attributes').value,
})
export const answerStatx = (result: FileResult): ReplyBody => ({
  kind: 'statx',
  attributes: expectResult(result, 'attributes').value,
})
export const answerDone = (result: FileResult): ReplyBody => {
  expectResult(result, 'done')
  return { kind: 'done' }
}
