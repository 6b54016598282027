import type { Key } from '../../proto/ids.ts'
import type { Effect } from '../store/effect.ts'
import type { View } from './view.ts'

/**
 * What one operation is about to change, on top of the view it was given: so that an operation that touches one thing
 * twice (a rename inside a directory) sees its own first step. It ends as effects, each key in them once.
 */
export class Draft implements View {
  readonly #view: View
  readonly #values = new Map<Key, Uint8Array | undefined>()
  readonly #effects: Effect[] = []

  constructor(view: View) {
    this.#view = view
  }

  get(key: Key): Uint8Array | undefined {
    const value = this.#values.get(key)
    return value !== undefined || this.#values.has(key) ? value : this.#view.get(key)
  }

  put(key: Key, value: Uint8Array): void {
    this.#values.set(key, value)
  }

  delete(key: Key): void {
    this.#values.set(key, undefined)
  }

  /** Effects on blobs stand before those on keys, in the order of these calls, as they are applied (S10). */
  blob(effect: Extract<Effect, { blob: bigint }>): void {
    this.#effects.push(effect)
  }

  /** What an operation comes to that saw this draft. */
  take(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'put') this.put(effect.key, effect.value)
      else if (effect.kind === 'delete') this.delete(effect.key)
      else this.blob(effect)
    }
  }

  effects(): readonly Effect[] {
    for (const [key, value] of this.#values) {
      this.#effects.push(value === undefined ? { kind: 'delete', key } : { kind: 'put', key, value })
    }
    return this.#effects
  }
}
