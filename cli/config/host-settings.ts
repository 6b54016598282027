import { type Settings, type SettingsSource, standardSettings } from '../settings.ts'
import { type HostConfig, readHostConfig } from './host-config.ts'

export interface HostSettings extends SettingsSource {
  /** As it was read last. */
  present(): HostConfig
}

/** What processes of a host of several take from its file while they run. */
export function hostSettings(file: string, first: HostConfig): HostSettings {
  let present = first
  return {
    file,
    read() {
      present = readHostConfig(file)
      return settingsOf(present)
    },
    fixed: () => present.fixed,
    present: () => present,
  }
}

const settingsOf = ({ logLevel, restart }: HostConfig): Settings => ({
  log: { level: logLevel },
  servers: { restart },
  mount: standardSettings.mount,
})
