/** A member as another one lists it. */
export interface ListedMember {
  readonly id: string
  /** Empty: it was let in, and has never run since. */
  readonly name: string
  readonly peerUrls: readonly string[]
  /** Empty: it has never run. */
  readonly clientUrls: readonly string[]
}

/** What one other host says when it is asked for the members of etcd. */
export type Answer =
  | { readonly kind: 'members'; readonly members: readonly ListedMember[] }
  /** The host is there, and no etcd runs on it. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'unreachable'; readonly why: string }

export type Beginning =
  /** With all others, as all were told. */
  | { readonly kind: 'new' }
  /** The cluster has let this member in already. */
  | { readonly kind: 'existing' }
  /** The cluster does not know this member. */
  | { readonly kind: 'add' }
  /** This member has run before, and its folder is gone. */
  | { readonly kind: 'replace'; readonly id: string }
  /** Perhaps one of the above: who does not answer knows. */
  | { readonly kind: 'wait' }

/**
 * How a member whose folder is empty begins. One that has run before must never come back under its old number: it has
 * forgotten what it agreed to, and with it a majority could be found for something else. So it is a new cluster's only
 * when somebody who knows says so, or when no etcd runs on any other host.
 */
export function beginning(peerUrl: string, answers: readonly Answer[]): Beginning {
  const lists = answers.flatMap((answer) => (answer.kind === 'members' ? [answer.members] : []))
  const entries = lists.flatMap((members) => members.filter(({ peerUrls }) => peerUrls.includes(peerUrl)))
  const former = entries.find(({ clientUrls }) => clientUrls.length > 0)
  if (former !== undefined) return { kind: 'replace', id: former.id }
  if (entries.some(({ name }) => name === '')) return { kind: 'existing' }
  if (entries.length > 0) return { kind: 'new' }
  if (lists.length > 0) return { kind: 'add' }
  return { kind: answers.every(({ kind }) => kind === 'nothing') ? 'new' : 'wait' }
}
