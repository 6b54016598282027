/** Columns of a terminal that everything we print for people fits into. */
export const columnsMax = 100

/** Of any column but the last. */
const cellMax = 24

/**
 * Rows under headings, each column as wide as its widest cell; the last one gets what is left of the line. What does not
 * fit loses its middle.
 */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const isLast = (column: number): boolean => column === headings.length - 1
  const all = [headings, ...rows].map((row) =>
    row.map((cell, column) => fit(cell, isLast(column) ? Infinity : cellMax)),
  )
  const widths = headings.map((_, column) => Math.max(...all.map((row) => width(row[column] ?? ''))))
  const before = widths.slice(0, -1).reduce((sum, each) => sum + each + 2, 0)
  return all.map((row) => {
    const cells = headings.map((_, column) => {
      const cell = row[column] ?? ''
      return isLast(column) ? fit(cell, columnsMax - before) : cell.padEnd(widths[column] ?? 0)
    })
    return fit(cells.join('  ').trimEnd(), columnsMax)
  })
}

/** At most `max` characters: the middle of what is longer gives way. */
export function fit(text: string, max: number): string {
  const characters = Array.from(text)
  if (characters.length <= max) return text
  const kept = Math.max(0, max - 3)
  const front = Math.ceil(kept / 2)
  return `${characters.slice(0, front).join('')}...${characters.slice(characters.length - (kept - front)).join('')}`
}

/** Lines of at most `columnsMax` characters; all but the first are indented. */
export function wrap(text: string, indent = '  '): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    if (line.trim() === '' || width(longer) <= columnsMax) {
      line = longer
      continue
    }
    lines.push(fit(line, columnsMax))
    line = `${indent}${word}`
  }
  return [...lines, fit(line, columnsMax)]
}

const width = (text: string): number => Array.from(text).length
