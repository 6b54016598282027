import { type Key, key } from '../../proto/ids.ts'
import type { StatePort } from './ports.ts'

const keysAtOnce = 1000

/** All committed keys with a prefix, in their order, read a part at a time. */
export async function* scanAll(
  state: Pick<StatePort, 'scan'>,
  prefix: Key,
): AsyncGenerator<readonly [Key, Uint8Array]> {
  let from = prefix
  for (;;) {
    const rows = await state.scan(prefix, from, keysAtOnce)
    yield* rows
    const last = rows.at(-1)
    if (last === undefined || rows.length < keysAtOnce) return
    from = key(`${last[0]}\0`)
  }
}
