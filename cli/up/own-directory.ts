import { type NodeId, nodeId } from '../../proto/ids.ts'
import { newRecord } from '../../replication/record.ts'
import { DirectoryUnavailable } from '../../server/directory/directory.ts'
import { EmbeddedDirectory } from '../../server/directory/embedded.ts'
import { Failure } from '../failure.ts'
import type { Host } from '../host.ts'
import { volumeName } from '../volume.ts'

/** How many members a new volume gets. */
export const mirrorsStandard = 3

/** The directory's lock is what makes this the only supervisor of its state folder. @throws Failure */
export async function openOwnDirectory({ flag, member, state }: Host): Promise<EmbeddedDirectory> {
  try {
    return await EmbeddedDirectory.open(state.directory)
  } catch (error) {
    if (error instanceof DirectoryUnavailable) throw runsAlready({ flag, member, state }, error)
    throw new Failure(error instanceof Error ? error.message : String(error), {
      meaning: 'Without it nobody knows who is primary, so nothing was started',
      remedy: 'Restore it from a copy',
      cause: error,
    })
  }
}

export function runsAlready(
  { flag, member, state }: Pick<Host, 'flag' | 'member' | 'state'>,
  cause?: unknown,
): Failure {
  const [command, other] =
    member === undefined
      ? ['up', 'choose another --state DIR']
      : ['run', 'name another node.state in the configuration']
  return new Failure(`"banyan ${command}" runs already with the state folder ${state.root}`, {
    meaning: 'Nothing was started',
    remedy: `See it with "banyan status${flag}", end it with "banyan down${flag}", or ${other}`,
    cause,
  })
}

/** Of the volume of a machine alone: as it is, or new, with so many mirrors as are wanted. @throws Failure */
export async function membersOf(
  directory: EmbeddedDirectory,
  { root, mirrors }: { readonly root: string; readonly mirrors: number | undefined },
): Promise<readonly NodeId[]> {
  const names = Array.from({ length: mirrors ?? mirrorsStandard }, (_, index) => nodeId(`s${index + 1}`))
  const { record } = await directory.createRecord(volumeName, newRecord(names))
  if (mirrors === undefined || record.members.length === mirrors) return record.members
  throw new Failure(`the volume in ${root} has ${record.members.length} mirrors, not ${mirrors}`, {
    meaning: 'Nothing was started',
    remedy: 'Leave --mirrors out; "banyan volume add-mirror" and "remove-mirror" change who they are',
  })
}
