import type { Hold } from '../../proto/generated/file-service.ts'

/** What keeps the holds of this driver's session. The router tells it what the stream says. */
export interface HoldHolder {
  /** Somebody waits for it. Said again until it is released. */
  onRecallHold(hold: Hold): void
  /** The servers have ended the session, and with it all its holds. */
  onSessionEnded(): void
}
