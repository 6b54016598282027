import { diskMutations } from './disk-mutations.ts'
import { holdMutations } from './hold-mutations.ts'
import { leaseMutations } from './lease-mutations.ts'
import { busy, core, type Mutation, model } from './mutation.ts'

const coreMutations: readonly Mutation[] = [
  {
    name: 'acknowledge before all in-sync members have it',
    rule: 'R4',
    edits: [
      core(
        'in-sync-set.ts',
        'for (const member of this.required()) least',
        'for (const member of [...this.required()].slice(1)) least',
      ),
    ],
    faults: 'calm',
    within: 20,
    noticedBy: ['nesting', 'invariants'],
  },
  {
    name: 'reuse a sequence after takeover: forget what was not known to be committed',
    rule: 'R1, R6',
    edits: [
      core(
        'primary.ts',
        '    this.#writeMark()\n  }\n\n  get since',
        '    core.journal.cut(core.journal.committed)\n    this.#writeMark()\n  }\n\n  get since',
      ),
    ],
    faults: 'crashes',
    within: 60,
    noticedBy: ['lost', 'acknowledged', 'nesting', 'invariants'],
  },
  {
    name: 'serve a dirty read',
    rule: 'R18',
    edits: [model('server.ts', "=== 'primary' || !this.#isDirty(op)", "=== 'primary' || true")],
    faults: 'calm',
    within: 40,
    noticedBy: ['reads', 'linearizability'],
  },
  {
    name: 'drop the reply cache: execute a repeated request again',
    rule: 'R29, R30',
    edits: [
      model('server.ts', 'if (request.seq === last.seq) return this.#repeat(key as Key, last.result, reply)', ''),
      model('server.ts', 'if (request.seq !== last.seq + 1) return', 'if (request.seq > last.seq + 1) return'),
    ],
    faults: 'crashes',
    within: 20,
    noticedBy: ['exactly once'],
  },
  {
    name: 'forget replies at takeover: they are only in the memory of the primary',
    rule: 'R30',
    edits: [
      model(
        'server.ts',
        '[...outcome.effects, ...given, put(key, encodeReply(request.seq, result))]',
        '[...outcome.effects, ...given]\n    this.#memory.set(key, encodeReply(request.seq, result))',
      ),
      model(
        'server.ts',
        "decodeReply(this.#pendingText(key) || encodeReply(0, ''))",
        "decodeReply(this.#memory.get(key) || encodeReply(request.seq - 1, ''))",
      ),
      model(
        'server.ts',
        'readonly #forwarded = new Map<number, Waiting>()',
        'readonly #forwarded = new Map<number, Waiting>()\n  readonly #memory = new Map<string, string>()',
      ),
    ],
    faults: 'crashes',
    within: 40,
    noticedBy: ['acknowledged', 'exactly once', 'linearizability'],
  },
  {
    name: 'an ended session is taken for a new one',
    rule: 'R31',
    edits: [
      model(
        'server.ts',
        "if (!pending.keys.has(sessionKey(request.session) as Key))\n      return this.#tell({ kind: 'refused', why: 'ended' }, reply)",
        '',
      ),
    ],
    faults: 'lossy',
    within: 150,
    noticedBy: ['exactly once', 'verify', 'members equal', 'linearizability'],
  },
  {
    name: 'refuse a request without looking at the lease',
    rule: 'R13',
    edits: [model('server.ts', '    reply(this.#replica().mayRead() ? answer : again)\n  }', '    reply(answer)\n  }')],
    faults: 'partitions',
    within: 100,
    noticedBy: ['exactly once'],
  },
  {
    name: 'trust the tail of a returning member',
    rule: 'R6, R34',
    edits: [
      core(
        'history.ts',
        'return Math.min(endOf(a, start.epoch), endOf(b, start.epoch)) as Seq',
        'return Math.min(a.last.seq, b.last.seq) as Seq',
      ),
      core('attachments.ts', 'return theirs === undefined ||', 'return true || theirs === undefined ||'),
      core('journal.ts', 'return entry.chain === nextChain(', 'return true || entry.chain === nextChain('),
    ],
    faults: 'crashes',
    within: 60,
    noticedBy: ['nesting', 'lost', 'verify', 'members equal', 'log'],
  },
  {
    name: 'commit while one who left too small a set may still lead',
    rule: 'R11',
    edits: [
      core('in-sync-set.ts', 'record.minInSync || record.eligible.length > 0)', 'record.minInSync)'),
      core(
        'in-sync-set.ts',
        'if (eligible.length > 0 && inSync.length >= minInSync) {',
        'if (eligible.length > 99 + minInSync + inSync.length) {',
      ),
    ],
    faults: 'operators',
    within: 1000,
    noticedBy: ['lost', 'acknowledged', 'nesting', 'invariants', 'members equal', 'linearizability'],
  },
  {
    name: 'a mirror that is taken out leaves the set at once, whatever the others have',
    rule: 'R12',
    edits: [
      core(
        'operator-changes.ts',
        'return changed({ ...record, members, drained',
        'return changed({ ...record, members, inSync: record.inSync.filter((other) => other !== node), drained',
      ),
    ],
    faults: 'operators',
    profile: { members: 3, minInSync: 1 },
    within: 300,
    noticedBy: ['operator', 'lost', 'nesting', 'invariants', 'liveness'],
  },
  {
    name: 'skip a slice of a resync',
    rule: 'R35',
    edits: [core('resync-target.ts', 'const rest = [slice.rest, came?.rest]', 'const rest = [slice.rest]')],
    faults: 'resyncs',
    within: 60,
    noticedBy: ['exactly once', 'verify', 'members equal', 'reads', 'linearizability', 'liveness'],
  },
  {
    name: 'forget what a returning member has touched by itself',
    rule: 'R35',
    edits: [core('follower.ts', '[...work, ...own]', 'work')],
    faults: 'resyncs',
    within: 400,
    noticedBy: ['verify', 'members equal', 'reads', 'linearizability'],
  },
  {
    name: 'apply a slice after a newer live entry: it was read long before it was sent',
    rule: 'R37, S13',
    edits: [
      model(
        'storage.ts',
        'this.#answer(this.#profile.readMs, () => done(sliceOf(this.state, wanted)))',
        'const early = sliceOf(this.state, wanted)\n    this.#answer(this.#profile.readMs, () => done(early))',
      ),
    ],
    faults: 'resyncs',
    profile: busy,
    within: 200,
    noticedBy: ['verify', 'members equal', 'reads', 'linearizability', 'liveness'],
  },
  {
    name: 'grow the set before the newcomer acknowledges',
    rule: 'R10',
    edits: [
      core(
        'in-sync-set.ts',
        'return this.#inSync.includes(node) || (this.#core.swapper.pending?.inSync.includes(node) ?? false)',
        'return this.#inSync.includes(node)',
      ),
    ],
    faults: 'resyncs',
    within: 150,
    noticedBy: ['nesting'],
  },
  {
    name: 'serve reads before the epoch is marked',
    rule: 'R6',
    edits: [core('primary.ts', 'return this.established() && !handedOver &&', 'return !handedOver &&')],
    faults: 'crashes',
    profile: busy,
    within: 300,
    noticedBy: ['reads', 'linearizability'],
  },
  {
    name: 'commit without a member before its lease has ended',
    rule: 'R4',
    edits: [
      core('in-sync-set.ts', 'if (member.grantedUntil > now) this.#lingering.set(node, member.grantedUntil)', ''),
    ],
    faults: 'partitions',
    within: 150,
    noticedBy: ['reads', 'linearizability'],
  },
  {
    name: 'a mirror reads without looking at its lease',
    rule: 'R13',
    edits: [
      core(
        'follower.ts',
        'return this.#attached && this.#core.ports.clock.now() < this.#leaseUntil',
        'return this.#attached && this.#leaseUntil > 0',
      ),
    ],
    faults: 'stops',
    within: 60,
    noticedBy: ['reads', 'linearizability'],
  },
  {
    name: 'a primary reads without looking at its lease',
    rule: 'R13, R14',
    edits: [core('primary.ts', '!handedOver && this.#core.ports.clock.now() < this.leaseUntil()', '!handedOver')],
    faults: 'partitions',
    within: 60,
    noticedBy: ['exactly once', 'reads', 'linearizability'],
  },
  {
    name: 'take over before what was promised to the primary has ended',
    rule: 'R13',
    edits: [
      core('follower.ts', 'return now >= this.#promisedUntil && now - this.#heardAt', 'return now - this.#heardAt'),
    ],
    faults: 'partitions',
    within: 150,
    noticedBy: ['exactly once', 'reads', 'linearizability'],
  },
  {
    name: 'trust a journal that may have lost its end',
    rule: 'R12',
    edits: [
      model(
        'storage.ts',
        'durable, amnesia, resync: mark, opening }',
        'durable, amnesia: false, resync: mark, opening }',
      ),
    ],
    faults: 'hostCrashes',
    within: 150,
    noticedBy: ['nesting', 'lost', 'acknowledged', 'log', 'flushed', 'verify', 'members equal'],
  },
  {
    name: 'the first to come back leads, not the longest journal',
    rule: 'R12',
    edits: [
      core(
        'recovery.ts',
        'return [...record.inSync, ...record.eligible].every((node) => {',
        'return [...record.inSync].slice(0, 0).every((node) => {',
      ),
    ],
    faults: 'powerLoss',
    within: 400,
    noticedBy: ['flushed', 'lost', 'nesting'],
  },
  {
    name: 'a swap whose answer was lost is taken for failed',
    rule: 'R9, R10',
    edits: [
      core(
        'swapper.ts',
        '    pending.sentAt = this.#ports.clock.now()\n    this.#ports.directory.swap(pending.expected, pending.next)',
        '    this.#pending = undefined',
      ),
    ],
    faults: 'directory',
    within: 150,
    noticedBy: ['nesting', 'reads', 'linearizability', 'invariants', 'liveness'],
  },
  {
    name: 'a record that is told late is believed, though a newer one is known',
    rule: 'R9',
    edits: [
      core('replica.ts', 'if (this.#record !== undefined && versioned.version <= this.#record.version) return', ''),
    ],
    faults: 'races',
    within: 60,
    noticedBy: ['nesting', 'invariants', 'reads', 'linearizability', 'liveness', 'lost', 'exactly once', 'caches'],
  },
  {
    name: 'leases are counted by the time of day',
    rule: 'R13',
    edits: [
      model('process.ts', 'clock: { now: this.#host.now }', 'clock: { now: this.#host.wall }'),
      model('process.ts', '      now: host.now,\n', '      now: host.wall,\n'),
    ],
    faults: 'stops',
    within: 100,
    noticedBy: ['caches', 'reads', 'linearizability', 'liveness', 'invariants', 'nesting', 'exactly once', 'lost'],
  },
  {
    name: 'a member with an empty disk counts as one that has everything',
    rule: 'R12',
    edits: [core('follower.ts', 'this.#amnesia = amnesia || last.seq === 0', 'this.#amnesia = amnesia')],
    faults: 'disks',
    within: 200,
    noticedBy: ['nesting', 'lost', 'flushed', 'acknowledged', 'verify', 'members equal', 'log', 'invariants'],
  },
  {
    name: 'a process takes up the role of the one before it',
    rule: 'S20',
    edits: [
      core(
        'replica.ts',
        'record.primary === self.node && record.incarnations[self.node] === self.incarnation',
        'record.primary === self.node',
      ),
    ],
    faults: 'crashes',
    within: 100,
    noticedBy: ['nesting', 'labels', 'lost', 'reads', 'invariants', 'acknowledged', 'log', 'liveness'],
  },
  {
    name: 'silence is taken for death',
    rule: 'S17',
    edits: [
      core(
        'follower.ts',
        'if (this.#core.deaths.has(primary, reigning)) return true',
        'if (this.#core.ports.clock.now() - this.#heardAt > 300) return true',
      ),
    ],
    faults: 'partitions',
    within: 100,
    noticedBy: ['exactly once', 'reads', 'linearizability'],
  },
  {
    name: 'forget the epoch check: follow whoever speaks',
    rule: 'R5',
    edits: [
      core('follower.ts', 'if (beat.epoch < this.#core.journal.epoch || ', 'if ('),
      core('follower.ts', 'return beat.epoch > this.#core.journal.epoch || this.#leader === undefined', 'return true'),
    ],
    faults: 'partitions',
    within: 400,
    noticedBy: ['reads', 'linearizability', 'nesting', 'invariants'],
  },
  {
    name: 'a dead process takes the place of its successor: attachments have no order',
    rule: 'S20',
    edits: [
      core('follower.ts', 'core.ports.storage.opened.opening * attemptsPerOpening', '0'),
      core(
        'attachments.ts',
        'const isNew = attach.attempt > member.attempt',
        'const isNew = attach.attempt > member.attempt || member.incarnation !== attach.incarnation',
      ),
    ],
    faults: 'ghosts',
    within: 400,
    noticedBy: ['invariants', 'reads', 'liveness', 'nesting'],
  },
  {
    name: 'overwrite good with bad',
    rule: 'R38',
    edits: [core('slice-source.ts', 'if (slice.damaged) return this.#damaged(slice.item)', '')],
    faults: 'rot',
    within: 400,
    noticedBy: ['verify', 'members equal', 'reads', 'linearizability', 'liveness'],
  },
  {
    name: 'not marked as out of sync before the first key changes',
    rule: 'R36',
    edits: [
      model(
        'storage.ts',
        '    os.beginResync(base, history, work)\n',
        '    os.beginResync(base, history, work)\n    const all = os.mark\n    os.mark = undefined\n    this.#hooks.later(0, () => {\n      os.mark = all\n    })\n',
      ),
    ],
    faults: 'resyncs',
    within: 150,
    noticedBy: [
      'exactly once',
      'verify',
      'members equal',
      'reads',
      'linearizability',
      'liveness',
      'nesting',
      'invariants',
    ],
  },
  {
    name: 'a session is shown an older state than before',
    rule: 'R20',
    edits: [model('server.ts', "if (standing === 'ahead')", 'if (false)')],
    faults: 'calm',
    within: 60,
    noticedBy: ['session'],
  },
  {
    name: 'a position that was lost is waited for',
    rule: 'R12, R20',
    edits: [core('history.ts', "? 'here' : 'lost'", "? 'here' : 'ahead'")],
    faults: 'powerLoss',
    within: 200,
    noticedBy: ['liveness'],
  },
  {
    name: 'commit in a set that is too small',
    rule: 'R11',
    edits: [
      core(
        'in-sync-set.ts',
        'this.#inSync.length < record.minInSync || record.eligible.length > 0)',
        'this.#inSync.length < 1)',
      ),
    ],
    faults: 'crashes',
    within: 60,
    noticedBy: ['nesting'],
  },
]

export const mutations: readonly Mutation[] = [...coreMutations, ...diskMutations, ...leaseMutations, ...holdMutations]
