import { readFileSync } from 'node:fs'
import type { Renaming } from '../cache/moved-inodes.ts'

/**
 * Numbers of rename, renameat and renameat2, also of 32-bit programs; no other call with one of them takes a path. Source:
 * arch/x86/entry/syscalls/syscall_{64,32}.tbl, arch/arm64/tools/syscall_{64,32}.tbl, arch/s390, arch/powerpc,
 * scripts/syscall.tbl (all others).
 */
const renames: Partial<Record<NodeJS.Architecture, readonly number[]>> = {
  x64: [82, 264, 316, 38, 302, 353],
  arm64: [38, 276, 329, 382],
  s390x: [38, 295, 347],
  ppc64: [38, 293, 357],
  riscv64: [276],
  loong64: [276],
}

/** The kernel asks whether a name still leads where it did. Source: fs/fuse/dir.c. */
const revalidating = 'fuse_dentry_revalidate'

/** A thread that has asked and does not wait yet does so as soon as it has a processor. */
const soonMs = 1
const triesMax = 200

/** Total. `text`: of /proc/<tid>/syscall, see proc_pid_syscall(5): the number first. */
export function isRename(text: string, arch: NodeJS.Architecture): boolean {
  const number = /^\d+(?= )/.exec(text)?.[0]
  return number !== undefined && (renames[arch]?.includes(Number(number)) ?? false)
}

/** What a thread does in a rename(2) that waits for the answer to a request. Undefined: nothing, or it can't be known. */
export function renaming(tid: number): Renaming | undefined | Promise<Renaming | undefined> {
  if (tid === 0) return undefined // of a pid namespace that is not ours
  const now = look(tid)
  return now === 'running' ? lookAgain(tid) : now
}

async function lookAgain(tid: number): Promise<Renaming | undefined> {
  for (let tries = 0; tries < triesMax; tries++) {
    await new Promise((resolve) => setTimeout(resolve, soonMs))
    const now = look(tid)
    if (now !== 'running') return now
  }
  return undefined
}

function look(tid: number): Renaming | 'running' | undefined {
  try {
    const text = readFileSync(`/proc/${tid}/syscall`, 'latin1')
    if (text === 'running\n') return 'running'
    if (!isRename(text, process.arch)) return undefined
  } catch {
    return undefined // it has ended; or we may not look at it
  }
  try {
    return readFileSync(`/proc/${tid}/stack`, 'latin1').includes(revalidating) ? 'revalidates' : 'looks up'
  } catch {
    return 'looks up' // a kernel without stack traces
  }
}
