import t from 'tap'
import type { OnPartition } from '../../replication/record.ts'
import { Partition } from '../../server/partition.ts'

/** One member's view, with time and the directory in hand. */
class Side {
  now = 0
  serves = true
  whole = true
  policy: OnPartition | undefined = 'read'
  directory = true
  readonly said: string[] = []
  readonly partition = new Partition({
    now: () => this.now,
    serves: () => this.serves,
    isWhole: () => this.whole,
    policy: () => this.policy,
    askDirectory: () => (this.directory ? Promise.resolve() : Promise.reject(new Error('away'))),
    log: (event) => this.said.push(event),
  })

  async pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second += 1) {
      this.now += 1000
      this.partition.onSecond()
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

void t.test('without directory and primary for half a minute, a side is cut off, and says so once', async (t) => {
  const side = new Side()
  side.serves = false
  side.directory = false
  await side.pass(29)
  t.equal(side.partition.cutOff, 'no')
  await side.pass(5)
  t.equal(side.partition.cutOff, 'read')
  side.policy = 'stop'
  t.equal(side.partition.cutOff, 'stop')
  side.policy = 'read'
  side.whole = false
  t.equal(side.partition.cutOff, 'stop', 'what is half of one state and half of another is not read')
  side.serves = true
  await side.pass(1)
  t.equal(side.partition.cutOff, 'no')
  t.same(side.said, ['partition.begins', 'partition.ends'])
})

void t.test('whoever hears the directory, or a primary, is not cut off', async (t) => {
  const side = new Side()
  side.serves = false
  await side.pass(100)
  t.equal(side.partition.cutOff, 'no', 'the directory answers')
  side.serves = true
  side.directory = false
  await side.pass(100)
  t.equal(side.partition.cutOff, 'no', 'a primary does')
  side.serves = false
  side.now += 100_000
  t.equal(side.partition.cutOff, 'no', 'a process that was stopped asks first')
  t.same(side.said, [])
})
