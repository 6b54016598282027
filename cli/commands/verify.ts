import { SingleBar } from 'cli-progress'
import type { VerifyFinding, VerifySummary } from '../../proto/generated/admin-service.ts'
import { askPrimary } from '../ask-primary.ts'
import { Failure } from '../failure.ts'
import { type Host, type Place, runningHost } from '../host.ts'
import { clusterView, volumeNamed } from '../show/cluster-view.ts'
import { bytes, counted } from '../show/units.ts'

export interface VerifyCommand extends Place {
  /** undefined: all of them. */
  readonly volume: string | undefined
  readonly repair: boolean
  readonly json: boolean
}

/**
 * Compares all in-sync members, of one volume after the other. Resolves to the exit code: 1 if anything differs, and,
 * with `repair`, could not be mended.
 *
 * @throws Failure
 */
export async function verify(command: VerifyCommand): Promise<number> {
  const host = runningHost(command)
  const { volumes } = await clusterView(host)
  const wanted = command.volume === undefined ? volumes : [volumeNamed(volumes, command.volume)]
  let differs = false
  for (const { name } of wanted) {
    if (wanted.length > 1 && !command.json) console.log(`volume ${name}:`)
    if (await verifyVolume(name, command, host)) differs = true
  }
  return differs ? 1 : 0
}

/** @returns whether anything differs that was not mended */
async function verifyVolume(volume: string, command: VerifyCommand, host: Host): Promise<boolean> {
  const bar =
    process.stderr.isTTY && !command.json
      ? new SingleBar({ stream: process.stderr, format: '[{bar}] {text}', clearOnComplete: true })
      : undefined
  bar?.start(100, 0, { text: '' })
  let findings: VerifyFinding[] = []
  let summary: VerifySummary | undefined
  const again = (): void => {
    findings = []
  }
  try {
    const { repair } = command
    const events = askPrimary(host, volume, (client, metadata) => client.verify({ repair }, metadata), again)
    for await (const { kind } of events) {
      switch (kind?.$case) {
        case 'progress': {
          const [done, total] = [Number(kind.value.bytesDone), Number(kind.value.bytesTotal)]
          const share = total === 0 ? 0 : Math.min(100, Math.floor((done / total) * 100))
          bar?.update(share, { text: `${bytes(done)}, ${counted(Number(kind.value.itemsDone))} items compared` })
          break
        }
        case 'finding':
          findings.push(kind.value)
          break
        case 'summary':
          summary = kind.value
          break
        case undefined:
          break // an event that a newer server knows
      }
    }
  } finally {
    bar?.stop()
  }
  if (summary === undefined)
    throw new Failure('the primary ended the comparison without a result', { remedy: 'Run it again' })
  const left = await outside(host, volume, summary.members)
  if (command.json) console.log(JSON.stringify({ volume, ...asJson(findings, summary, left) }))
  else for (const line of report(findings, summary, left)) console.log(line)
  const open = findings.filter((finding) => finding.outcome !== 'repaired')
  return open.length > 0 || (findings.length > 0 && !command.repair)
}

/** Members that were not compared, since they are not in sync. */
async function outside(host: Host, volume: string, compared: readonly string[]): Promise<readonly string[]> {
  const { members } = volumeNamed((await clusterView(host)).volumes, volume)
  return members.map(({ name }) => name).filter((name) => !compared.includes(name))
}

function report(findings: readonly VerifyFinding[], summary: VerifySummary, left: readonly string[]): string[] {
  const lines = findings.map((finding) => {
    const where = finding.path === '' ? `inode ${finding.ino}` : finding.path
    return `${where}: ${finding.what} (${finding.detail}) differs on ${finding.members.join(', ')}: ${finding.outcome}`
  })
  const members = summary.members.join(', ')
  lines.push(
    findings.length === 0
      ? `${members} are equal: ${counted(Number(summary.items))} items compared.`
      : `${counted(findings.length)} differences, ${counted(Number(summary.repaired))} repaired; ${counted(Number(summary.items))} items of ${members} compared.`,
  )
  if (left.length > 0) lines.push(`Not compared, since not in sync: ${left.join(', ')}.`)
  return lines
}

function asJson(findings: readonly VerifyFinding[], summary: VerifySummary, left: readonly string[]): object {
  return {
    findings: findings.map((finding) => ({ ...finding, ino: Number(finding.ino) })),
    items: Number(summary.items),
    repaired: Number(summary.repaired),
    members: summary.members,
    notCompared: left,
    fromPosition: Number(summary.fromPosition),
    toPosition: Number(summary.toPosition),
  }
}
