import { MultiBar, type SingleBar } from 'cli-progress'
import type { MemberView } from './cluster-view.ts'
import { percent, resyncText } from './status-text.ts'
import { columnsMax } from './table.ts'

/** Lines that nobody watches come so often, unless a member's state changes. */
const lineMs = 2000

type Progress = Pick<MemberView, 'name' | 'state' | 'resync'>

/** Shows how far members are: bars on a terminal, else plain lines now and then. */
export interface ResyncShow {
  show(members: readonly Progress[]): void
  end(): void
}

export function resyncShow(out: NodeJS.WriteStream, now: () => number): ResyncShow {
  return out.isTTY ? bars(out) : lines(out, now)
}

function bars(out: NodeJS.WriteStream): ResyncShow {
  const multi = new MultiBar({
    stream: out,
    format: '{name} [{bar}] {text}',
    barsize: 20,
    hideCursor: true,
    linewrap: false,
    clearOnComplete: false,
  })
  const byName = new Map<string, SingleBar>()
  return {
    show(members) {
      for (const member of members) {
        if (member.state === 'in-sync' && !byName.has(member.name)) continue
        const bar = byName.get(member.name) ?? multi.create(100, 0, { name: member.name, text: '' })
        byName.set(member.name, bar)
        const done = member.state === 'in-sync' ? 100 : member.resync === null ? 0 : percent(member.resync)
        bar.update(done, { text: text(member).slice(0, columnsMax - 30) })
      }
    },
    end: () => multi.stop(),
  }
}

function lines(out: NodeJS.WriteStream, now: () => number): ResyncShow {
  const last = new Map<string, { readonly at: number; readonly state: string; readonly line: string }>()
  return {
    show(members) {
      for (const member of members) {
        const line = `${member.name}: ${text(member)}`
        const before = last.get(member.name)
        if (before === undefined && member.state === 'in-sync') continue // it was so from the beginning
        const due = before === undefined || before.state !== member.state || now() - before.at >= lineMs
        if (!due || before?.line === line) continue
        last.set(member.name, { at: now(), state: member.state, line })
        out.write(`${line}\n`)
      }
    },
    end() {},
  }
}

function text(member: Progress): string {
  if (member.state === 'in-sync') return 'in sync'
  return member.resync === null ? member.state : resyncText(member.resync)
}
