import { errnos } from '../../proto/errno.ts'
import { inodeInTree, rootIno, volumeOf } from '../../proto/volume-number.ts'
import { textOf } from '../names.ts'
import type { Request } from '../protocol/request.ts'
import type { FileResult } from '../router/file-client.ts'
import { type Calling, type Plan, planOf } from './plan.ts'
import { expectResult } from './results.ts'

/** Where in the tree the roots of volumes are, beside that of the first. Grows only. */
export class Places {
  readonly #byParent = new Map<bigint, Map<string, number>>()

  get isEmpty(): boolean {
    return this.#byParent.size === 0
  }

  add(parent: bigint, name: Uint8Array, volume: number): void {
    const names = this.#byParent.get(parent) ?? new Map<string, number>()
    this.#byParent.set(parent, names.set(textOf(name), volume))
  }

  /** The number of the volume whose root is there. */
  at(parent: bigint, name: Uint8Array): number | undefined {
    return this.#byParent.get(parent)?.get(textOf(name))
  }

  isParent(ino: bigint): boolean {
    return this.#byParent.has(ino)
  }
}

/**
 * What is to be done for a request in a tree of several volumes: the place of a volume shows its root, stays where it is,
 * and nothing goes from one volume into another. Pure.
 */
export function planInTree(places: Places, request: Request): Plan {
  const { nodeid } = request.header
  if (request.op === 'LOOKUP') {
    const volume = places.at(nodeid, request.args.name)
    if (volume !== undefined) return rootEntry(inodeInTree(volume, rootIno))
  }
  if (goesAcross(request)) return refused('EXDEV')
  if (changesPlace(places, request)) return refused('EBUSY')
  const plan = planOf(request)
  const lists = request.op === 'READDIRPLUS' && plan.kind === 'call' && places.isParent(nodeid)
  return lists ? withoutPlaces(places, nodeid, plan) : plan
}

function goesAcross({ op, args, header }: Request): boolean {
  const volume = volumeOf(header.nodeid)
  if (op === 'RENAME' || op === 'RENAME2') return volumeOf(args.newParent) !== volume
  if (op === 'COPY_FILE_RANGE' || op === 'COPY_FILE_RANGE_64') return volumeOf(args.targetIno) !== volume
  return op === 'LINK' && volumeOf(args.ino) !== volume
}

function changesPlace(places: Places, { op, args, header }: Request): boolean {
  const isPlace = (parent: bigint, name: Uint8Array): boolean => places.at(parent, name) !== undefined
  if (op === 'RENAME' || op === 'RENAME2') {
    return isPlace(header.nodeid, args.name) || isPlace(args.newParent, args.newName)
  }
  return (op === 'RMDIR' || op === 'UNLINK') && isPlace(header.nodeid, args.name)
}

const refused = (errno: 'EBUSY' | 'EXDEV'): Plan => ({ kind: 'local', reply: { kind: 'error', errno: errnos[errno] } })

const rootEntry = (ino: bigint): Calling => ({
  kind: 'call',
  call: { $case: 'getattr', value: { ino } },
  judged: false,
  answer: (result) => ({ kind: 'entry', attributes: expectResult(result, 'attributes').value }),
})

/** The kernel would take the directory that stands in the place for what is there: it is told the name alone. */
const withoutPlaces = (places: Places, dir: bigint, plan: Calling): Calling => ({
  ...plan,
  answer: (result, validMs) => plan.answer(hidden(places, dir, result), validMs),
})

function hidden(places: Places, dir: bigint, result: FileResult): FileResult {
  if (result.$case !== 'listing') return result
  const entries = result.value.entries.map((entry) =>
    places.at(dir, entry.name) === undefined ? entry : { ...entry, attributes: undefined },
  )
  return { $case: 'listing', value: { ...result.value, entries } }
}
