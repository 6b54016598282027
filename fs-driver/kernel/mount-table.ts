import { readFileSync } from 'node:fs'

/** One line of /proc/self/mountinfo; see proc_pid_mountinfo(5). */
export interface MountEntry {
  readonly id: number
  /** `major:minor` of st_dev; a FUSE connection is known to fusectl by the minor. */
  readonly device: string
  /** Where it is mounted. */
  readonly path: string
  readonly type: string
  readonly source: string
}

/** Undoes the octal escapes for space, tab, newline and backslash; the bytes are taken as UTF-8. */
function unescaped(field: string): string {
  if (!field.includes('\\')) return field
  const bytes = Buffer.from(field).toString('latin1')
  const plain = bytes.replace(/\\([0-3][0-7]{2})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )
  return Buffer.from(plain, 'latin1').toString()
}

/** All mounts in `text`, oldest first; a line that is none is passed over. */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = []
  for (const line of text.split('\n')) {
    const [head, tail] = line.split(' - ', 2)
    const [id, , device, , path] = head?.split(' ') ?? []
    const [type, source] = tail?.split(' ') ?? []
    if (id === undefined || device === undefined || path === undefined || type === undefined) continue
    entries.push({ id: Number(id), device, path: unescaped(path), type, source: unescaped(source ?? '') })
  }
  return entries
}

/** What this process sees mounted. Reads the table only: a file system that does not answer cannot stop it. */
export function readMountTable(): MountEntry[] {
  return parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'))
}

/** The topmost mount at exactly `path`. */
export function mountAt(path: string): MountEntry | undefined {
  return readMountTable().findLast((entry) => entry.path === path)
}
