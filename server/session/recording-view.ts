import type { Key } from '../../proto/ids.ts'
import type { View } from '../filesystem/view.ts'

/** Remembers what an operation depends on (R19). */
export class RecordingView implements View {
  readonly keys: Key[] = []
  readonly #view: View

  constructor(view: View) {
    this.#view = view
  }

  get(key: Key): Uint8Array | undefined {
    this.keys.push(key)
    return this.#view.get(key)
  }
}
