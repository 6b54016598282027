/** Where this part's events go. A line is an event and fields; names of files only at `debug`, contents never. */
export interface Log {
  debug(event: string, fields?: Readonly<Record<string, unknown>>): void
  info(event: string, fields?: Readonly<Record<string, unknown>>): void
  /** Somebody must look. */
  error(event: string, fields?: Readonly<Record<string, unknown>>): void
}
