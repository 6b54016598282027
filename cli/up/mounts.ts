/** A mount of this tree on this machine, as it introduced itself. */
export interface MountInfo {
  readonly path: string
  /** Of the process to signal: it unmounts and ends. */
  readonly pid: number
}

/** Who has mounted the tree here: each stands as long as its connection. */
export class Mounts {
  readonly #present = new Set<MountInfo>()
  readonly #onChange = new Set<() => void>()

  list(): readonly MountInfo[] {
    return [...this.#present].sort((a, b) => (a.path < b.path ? -1 : 1))
  }

  add(mount: MountInfo): { close(): void } {
    this.#present.add(mount)
    this.#changed()
    return {
      close: () => {
        if (this.#present.delete(mount)) this.#changed()
      },
    }
  }

  onChange(tell: () => void): { close(): void } {
    this.#onChange.add(tell)
    return { close: () => void this.#onChange.delete(tell) }
  }

  #changed(): void {
    for (const tell of this.#onChange) tell()
  }
}
