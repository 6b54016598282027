import type { Ms, Timing } from './ports.ts'

/**
 * How long the giver of a lease reckons with it, from the moment it sent it. The holder counts the bare length from the
 * earlier moment at which it had asked, so no drift within the margin makes it hold longer than this (R13, R22).
 */
export const giverWaits = (length: Ms, timing: Timing): Ms => length * (1 + timing.drift) + timing.slack
