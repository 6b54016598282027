import type { Advert } from '../../proto/advert.ts'

/** Where the router learns who offers the volume. */
export interface ProviderSource {
  /**
   * `onChange` gets the whole list each time, first the present one. That an advert is gone says nothing about the
   * provider: only that the directory does not hear of it (S25).
   */
  watch(onChange: (adverts: readonly Advert[]) => void): { close(): void }
}
