import type { NodeId } from '../../proto/ids.ts'

/** Another member is to be asked. */
export class NotPrimary extends Error {
  constructor(primary: NodeId | undefined, why = 'this member is not the primary') {
    super(primary === undefined ? `${why}; at present nobody is` : `${why}; ${primary} is`)
    this.name = 'NotPrimary'
  }
}

/** What was asked for can't be done; asking again gives the same. */
export class NotPossible extends Error {
  constructor(sentence: string) {
    super(sentence)
    this.name = 'NotPossible'
  }
}
