import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Cluster } from '../fixtures/cluster.ts'
import { assertStall, loadFaults, now, RunningLoad, reportStall } from '../fixtures/running-load.ts'

// A server is frozen, as by a hung host, and goes on later: it must not answer from a time that is over.

t.setTimeout(300_000)
/** Nobody attests that a frozen process is dead, so its lease has to run out. */
const stallMaxMs = 3000
/** What a mount has a hold on that can reach no server: others wait for it, until it is fenced (R25). */
const heldMaxMs = 10_000 + stallMaxMs

const cluster = await Cluster.start(t)
const other = await cluster.mount('other')

for (const role of ['mirror', 'primary'] as const) {
  void t.test(`a frozen ${role}`, async (t) => {
    const primary = await cluster.primary()
    const victim = role === 'primary' ? primary : ((await cluster.others())[0] ?? '')
    const pid = await cluster.pidOf(victim)
    const pinned = await cluster.mount(`pinned-${role}`, { provider: victim })
    const name = `work-${role}`
    const free = await RunningLoad.start(cluster.folder, [
      { id: 'a', directory: join(cluster.tree, name) },
      { id: 'b', directory: join(other, name) },
    ])
    // What is asked of the frozen server alone has to wait for it, but must come to the same truth. Of files that others
    // change, too, it may have the hold at that moment: those it leaves alone here.
    const bound = await RunningLoad.start(cluster.folder, [
      { id: 'c', directory: join(pinned, name), loops: ['syncing', 'churning', 'reading'] },
    ])
    await free.progress(400)
    await bound.progress(200)
    await writeFile(join(other, `held-${role}`), '')
    const held = await open(join(pinned, `held-${role}`), 'a')
    await held.write('written under a hold\n')
    await held.datasync()

    const frozen = now()
    cluster.signal(pid, 'SIGSTOP')
    const seen = readFile(join(other, `held-${role}`), 'utf8').then((text) => ({ text, at: now() }))
    await free.progress(500)
    const late = await RunningLoad.start(cluster.folder, [
      { id: 'd', directory: join(pinned, name), loops: ['reading'] }, // asks after newer values were acknowledged
    ])
    await free.progress(200)
    if (role === 'primary') t.not(await cluster.primary(), victim, 'another member is primary')
    cluster.signal(pid, 'SIGCONT')
    const goesOn = now()
    await bound.progress(200)
    await late.progress(200)
    t.comment(`pinned to it, operations went on within ${(now() - goesOn).toFixed(0)} ms of SIGCONT`)
    t.equal((await seen).text, 'written under a hold\n', 'what it had a hold on is read elsewhere')
    const waitedMs = (await seen).at - frozen
    t.ok(waitedMs <= heldMaxMs, `after ${waitedMs.toFixed(0)} ms, at most ${heldMaxMs}`)
    await held.close()
    await cluster.resynced()
    const unpinned = await free.stop()
    const records = [...unpinned, ...(await bound.stop()), ...(await late.stop())]

    assertStall(t, reportStall(t, `SIGSTOP of the ${role} ${victim}`, unpinned, frozen), stallMaxMs)
    t.same(await loadFaults(join(other, name), records), [], 'no error, nothing lost, nothing twice, nothing stale')
    await cluster.unmount(pinned)
    await cluster.verifyEqual()
  })
}
