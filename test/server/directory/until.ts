const limitMs = 10_000
const everyMs = 5

/** Waits until `holds` is true; rejects, naming what it waited for, after 10 s. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const began = performance.now()
  while (!(await holds())) {
    if (performance.now() - began > limitMs) throw new Error(`waited ${limitMs} ms for ${what}`)
    await new Promise((resolve) => void setTimeout(resolve, everyMs))
  }
}
