import { key } from '../../proto/ids.ts'
import { rootIno } from '../../proto/volume-number.ts'
import { parseKey, prefixes } from '../store/keys.ts'
import { decodeDentries, typeDirectory } from '../store/records.ts'
import type { VolumeStore } from '../store/volume-store.ts'

const keysAtOnce = 1000
/** Deeper than any path that can be walked (PATH_MAX): only a damaged tree has it. */
const depthMax = 4096

/**
 * Where inodes stand in the tree, from its root, by walking all names once: the names of one inode are not kept, so one
 * of several is given. Inodes without a name are not in the answer.
 */
export async function pathsOf(
  store: Pick<VolumeStore, 'scan'>,
  inos: ReadonlySet<bigint>,
): Promise<ReadonlyMap<bigint, string>> {
  if (inos.size === 0) return new Map()
  const names = new Map<bigint, { readonly parent: bigint; readonly name: string }>()
  let from = prefixes.dentries
  for (;;) {
    const rows = await store.scan(prefixes.dentries, from, keysAtOnce)
    for (const [row, value] of rows) {
      const parsed = parseKey(row)
      if (parsed?.kind !== 'dentries') continue
      for (const { ino, type, name } of decodeDentries(value)) {
        if (type !== typeDirectory && !inos.has(ino)) continue
        names.set(ino, { parent: parsed.parent, name: Buffer.from(name).toString() })
      }
    }
    const last = rows.at(-1)
    if (last === undefined || rows.length < keysAtOnce) break
    from = key(`${last[0]}\0`)
  }
  const paths = new Map<bigint, string>()
  for (const ino of inos) {
    const path = pathOf(names, ino)
    if (path !== undefined) paths.set(ino, path)
  }
  return paths
}

function pathOf(
  names: ReadonlyMap<bigint, { readonly parent: bigint; readonly name: string }>,
  ino: bigint,
): string | undefined {
  const parts: string[] = []
  let at = ino
  for (let depth = 0; at !== rootIno; depth++) {
    const place = names.get(at)
    if (place === undefined || depth > depthMax) return undefined
    parts.unshift(place.name)
    at = place.parent
  }
  return `/${parts.join('/')}`
}
