import type { NodeId } from '../../proto/ids.ts'
import { decodeBody } from './body.ts'
import type { Done } from './client.ts'
import type { Host } from './host.ts'
import { type Call, linearize, SearchTooLong } from './linearizability.ts'
import { model, type Op, objects } from './operations.ts'
import { type Oracle, requestOf } from './oracle.ts'
import { requestName } from './session.ts'
import { State } from './state.ts'
import { Violation } from './violation.ts'

/** All members have the state that the committed entries lead to, all of them, each once. */
export function checkMembersEqual(hosts: readonly Host[], oracle: Oracle): void {
  const wanted = [...stateOf(oracle).lines()]
  for (const { node, disk } of hosts) {
    const { os } = disk
    const last = oracle.log.at(-1)
    if (os.last.seq !== oracle.log.length || os.last.chain !== (last?.chain ?? 0)) {
      throw new Violation(
        'members equal',
        'R39',
        `${node} ends at ${os.last.epoch}:${os.last.seq}, the others at ${last?.epoch}:${last?.seq}`,
      )
    }
    checkSame(node, [...os.state.lines()], wanted)
    for (const entry of os.entries) {
      if (oracle.log[entry.seq - 1]?.chain === entry.chain) continue
      throw new Violation(
        'members equal',
        'R39',
        `${node} has another entry ${entry.epoch}:${entry.seq} than was committed`,
      )
    }
  }
}

/** What all committed entries lead to. */
function stateOf({ log }: Oracle): State {
  const state = new State()
  for (const entry of log) for (const effect of decodeBody(entry.body)) state.apply(effect)
  return state
}

function checkSame(node: NodeId, found: readonly string[], wanted: readonly string[]): void {
  if (found.length === wanted.length && found.every((line, i) => line === wanted[i])) return
  const lacks = wanted.filter((line) => !found.includes(line))
  const has = found.filter((line) => !wanted.includes(line))
  if (lacks.length === 0 && has.length === 0) return
  const differences = [...lacks.map((line) => `lacks ${line}`), ...has.map((line) => `has ${line}`)]
  throw new Violation('members equal', 'R35 to R38', `${node} ${differences.join('; ')}`)
}

/** Every change that was answered is there, unless it was lost with the power of all hosts; none is there twice. */
export function checkAcknowledged(history: readonly Done[], oracle: Oracle): void {
  const lostAt = oracle.losses.at(-1)?.at ?? Number.NEGATIVE_INFINITY
  for (const { request, returned, result, isLost } of history) {
    if (isLost === true || request === undefined || result === undefined || returned <= lostAt) continue
    if (oracle.seqOf(request) !== undefined) continue
    throw new Violation('acknowledged', 'R4', `request ${requestName(request)} was answered '${result}' and is gone`)
  }
  const items = new Set<string>()
  for (const line of stateOf(oracle).lines()) {
    if (!line.startsWith('l')) continue
    for (const item of line.slice(line.indexOf(',') + 1).split(',')) {
      if (items.has(item)) throw new Violation('exactly once', 'R29', `${item} was appended twice`)
      items.add(item)
    }
  }
}

/** Object by object, as linearizability allows; and up to each loss of power by itself, with what was there then. */
export function checkLinearizable(history: readonly Done[], oracle: Oracle): void {
  const ends = [...oracle.losses.map((loss) => loss.at), Number.POSITIVE_INFINITY]
  for (const [index, end] of ends.entries()) {
    const from = ends[index - 1] ?? Number.NEGATIVE_INFINITY
    const log = oracle.losses[index]?.log ?? oracle.log
    const there = new Map(log.flatMap((entry) => requestsOf(entry).map((name) => [name, entry.seq] as const)))
    const calls = new Map(objects.map((object): [string, Call<Op>[]] => [object, []]))
    for (const done of history) {
      const { op, request, invoked, returned, result, at } = done
      if (invoked >= end || done.isLost === true) continue
      const isAnswered = returned < end
      const hint = request === undefined ? (at ?? 0) + 0.5 : there.get(requestName(request))
      if (hint === undefined || (request === undefined && (invoked < from || !isAnswered))) continue
      const how = isAnswered ? { returned, result } : { returned: Number.POSITIVE_INFINITY, result: undefined }
      calls.get(op.object)?.push({ op, invoked, ...how, hint })
    }
    for (const [object, ofObject] of calls) checkObject(object, ofObject)
  }
}

function checkObject(object: string, calls: readonly Call<Op>[]): void {
  if (isLinearizable(calls)) return
  const lines = calls.map(({ op, invoked, returned, result }) => {
    return `  ${invoked.toFixed(1)}..${returned.toFixed(1)} ${JSON.stringify(op)} -> ${result}`
  })
  throw new Violation(
    'linearizability',
    'R3, R18',
    `no order explains what clients saw of ${object}:\n${shortest(calls, lines).join('\n')}`,
  )
}

/** An honest history is explained by the order of the journal at once; who needs a long search has not that order. */
function isLinearizable(calls: readonly Call<Op>[]): boolean {
  try {
    return linearize(model, calls, stepsMax) !== undefined
  } catch (error) {
    if (error instanceof SearchTooLong) return false
    throw error
  }
}
const stepsMax = 20_000

/** The calls up to the first return after which there is no order any more. */
function shortest(calls: readonly Call<Op>[], lines: readonly string[]): readonly string[] {
  const ends = calls.map(({ returned }) => returned).filter(Number.isFinite)
  for (const end of ends.sort((a, b) => a - b)) {
    const until = calls.filter(({ invoked }) => invoked <= end)
    const cut = until.map((call) =>
      call.returned <= end ? call : { ...call, returned: Number.POSITIVE_INFINITY, result: undefined },
    )
    if (!isLinearizable(cut)) return lines.filter((_, i) => (calls[i]?.invoked ?? 0) <= end).slice(-25)
  }
  return lines
}

function requestsOf(entry: Oracle['log'][number]): string[] {
  const name = requestOf(entry)
  return name === undefined ? [] : [name]
}
