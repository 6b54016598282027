const polynomial = 0xedb88320

/** Lengths for which the factor is kept: those of whole blocks come all the time. */
const keptMax = 64
const kept = new Map<number, number>()

/** x to the power of 1, 2, 4, ... modulo the polynomial. Bits are reflected: the highest is x to the power of 0. */
const powers = [1 << 30]
for (let index = 1; index < 32; index++) powers.push(product(powers[index - 1] ?? 0, powers[index - 1] ?? 0))

/** crc32 of A and B, one after the other, from that of A and that of B, which is `bytes` long. Source: zlib, crc32_combine. */
export function joined(crcOfA: number, crcOfB: number, bytes: number): number {
  let factor = kept.get(bytes)
  if (factor === undefined) {
    factor = powerOf(bytes)
    if (kept.size < keptMax) kept.set(bytes, factor)
  }
  return (product(factor, crcOfA) ^ crcOfB) >>> 0
}

/** x to the power of 8 times `bytes`. */
function powerOf(bytes: number): number {
  let result = 1 << 31
  for (let rest = bytes, index = 3; rest > 0; rest = Math.floor(rest / 2), index++) {
    if (rest % 2 === 1) result = product(powers[index & 31] ?? 0, result)
  }
  return result
}

function product(a: number, b: number): number {
  let result = 0
  let shifted = b
  for (let bit = 1 << 31; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) result ^= shifted
    shifted = (shifted & 1) === 1 ? (shifted >>> 1) ^ polynomial : shifted >>> 1
  }
  return result
}
