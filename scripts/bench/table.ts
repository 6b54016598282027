/** Results of several runs as a table. Pure. */

/** What `workloads.py` says about one workload. */
export interface Outcome {
  readonly value: number | null
  readonly unit: string
  readonly detail: Readonly<Record<string, unknown>>
  readonly error?: string
}

export type Results = Readonly<Record<string, Outcome>>

/** Runs of one place, each with every workload. */
export interface Measured {
  readonly name: string
  readonly runs: readonly Results[]
}

/** Units of which less is better. */
const lessIsBetter = new Set(['s'])

interface Row {
  readonly median: number
  readonly least: number
  readonly most: number
  /** A run was stopped at its time limit: the rate is over what it did. */
  readonly cutShort: boolean
}

/** A markdown table: median (least to most) of each place, and how many times as good as the first place the others are. */
export function benchTable(places: readonly Measured[]): string {
  const [first] = places
  const head = ['workload', 'unit', ...places.flatMap(({ name }, at) => (at === 0 ? [name] : [name, 'ratio']))]
  const lines = [head, head.map((_, at) => (at < 2 ? '---' : '---:'))]
  for (const workload of Object.keys(first?.runs[0] ?? {})) {
    const unit = first?.runs[0]?.[workload]?.unit ?? ''
    const base = rowOf(first, workload)
    const cells = places.flatMap((place, at) => {
      const row = rowOf(place, workload)
      const cell = row === undefined ? 'failed' : cellOf(row)
      return at === 0 ? [cell] : [cell, ratioOf(base, row, unit)]
    })
    lines.push([workload, unit, ...cells])
  }
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** What failed, one line each. */
export function failures(places: readonly Measured[]): string[] {
  return places.flatMap(({ name, runs }) =>
    runs.flatMap((run, at) =>
      Object.entries(run).flatMap(([workload, { error }]) =>
        error === undefined ? [] : [`${name}, run ${at + 1}, ${workload}: ${error}`],
      ),
    ),
  )
}

function rowOf(place: Measured | undefined, workload: string): Row | undefined {
  const outcomes = (place?.runs ?? []).flatMap((run) => run[workload] ?? [])
  const values = outcomes.flatMap(({ value }) => (value === null ? [] : [value])).sort((a, b) => a - b)
  const [least, most] = [values[0], values.at(-1)]
  if (least === undefined || most === undefined) return undefined
  const middle = values.length / 2
  const median = ((values[Math.ceil(middle) - 1] ?? least) + (values[Math.floor(middle)] ?? least)) / 2
  return { median, least, most, cutShort: outcomes.some(({ detail }) => detail.cut_short === true) }
}

function cellOf({ median, least, most, cutShort }: Row): string {
  const spread = least === most ? '' : ` (${figure(least)}-${figure(most)})`
  return `${figure(median)}${spread}${cutShort ? ' †' : ''}`
}

function ratioOf(base: Row | undefined, row: Row | undefined, unit: string): string {
  if (base === undefined || row === undefined) return ''
  const ratio = lessIsBetter.has(unit) ? base.median / row.median : row.median / base.median
  return `×${Number(ratio.toPrecision(2))}`
}

function figure(value: number): string {
  if (value >= 100) return value.toFixed(0)
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
