import { type NodeId, nodeId } from '../proto/ids.ts'
import { Failure, oneLine } from './failure.ts'

/** A name that somebody gave for a node. @throws Failure */
export function nodeNamed(name: string, about: { readonly meaning: string; readonly remedy: string }): NodeId {
  try {
    return nodeId(name)
  } catch (error) {
    throw new Failure(oneLine(error), { ...about, cause: error })
  }
}
