/** Bytes of a file from `from` up to, not including, `to`; multiples of the page size. */
export interface PageRange {
  readonly from: bigint
  readonly to: bigint
}

const pageBytes = 4096n

/** The pages that a read of these bytes fills. */
export function pagesOf(offset: bigint, length: number): PageRange {
  const from = (offset / pageBytes) * pageBytes
  const to = ((offset + BigInt(length) + pageBytes - 1n) / pageBytes) * pageBytes
  return { from, to }
}

/** All pages of a file but those; the last range has no end. */
export function pagesBesides(taken: Iterable<PageRange>): { readonly from: bigint; readonly to: bigint | undefined }[] {
  const sorted = [...taken].sort((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0))
  const free: { from: bigint; to: bigint | undefined }[] = []
  let at = 0n
  for (const { from, to } of sorted) {
    if (from > at) free.push({ from: at, to: from })
    if (to > at) at = to
  }
  free.push({ from: at, to: undefined })
  return free
}
