const steps = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** `1.5 GiB`: three digits at most before the unit, one after the point while small. */
export function bytes(count: number): string {
  let value = count
  let step = 0
  while (value >= 1000 && step < steps.length - 1) {
    value /= 1024
    step += 1
  }
  return `${step === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${steps[step]}`
}

/** `12,345` */
export function counted(count: number): string {
  return count.toFixed(0).replaceAll(/\B(?=(\d{3})+$)/g, ',')
}

/** `5 s`, `3 min 20 s`, `2 h 5 min` */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}
