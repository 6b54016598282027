import t from 'tap'
import { type Answer, beginning, type ListedMember } from '../../../cli/etcd/beginning.ts'

const own = 'http://10.0.0.3:7403'
const other: ListedMember = {
  id: '1',
  name: 'a',
  peerUrls: ['http://10.0.0.1:7403'],
  clientUrls: ['http://10.0.0.1:7402'],
}
const nothing: Answer = { kind: 'nothing' }
const unreachable: Answer = { kind: 'unreachable', why: 'timed out' }
const says = (...members: readonly ListedMember[]): Answer => ({ kind: 'members', members })
const us = (fields: Partial<ListedMember>): ListedMember => ({
  id: '3',
  name: 'c',
  peerUrls: [own],
  clientUrls: [],
  ...fields,
})

void t.test('a cluster begins when no other host runs etcd, and all of them said so', (t) => {
  t.equal(beginning(own, []).kind, 'new')
  t.equal(beginning(own, [nothing, nothing]).kind, 'new')
  t.equal(beginning(own, [nothing, unreachable]).kind, 'wait', 'the one that does not answer may know better')
  t.equal(beginning(own, [says(other, us({})), unreachable]).kind, 'new', 'the others have begun, and expect us')
  t.end()
})

void t.test('a member that has run before and has forgotten everything is replaced, whatever a late one says', (t) => {
  const ran = us({ clientUrls: ['http://10.0.0.3:7402'] })
  t.same(beginning(own, [says(other, us({})), says(other, ran)]), { kind: 'replace', id: '3' })
  t.same(beginning(own, [unreachable, says(other, ran)]), { kind: 'replace', id: '3' })
  t.end()
})

void t.test('a member that nobody knows asks to be let in, once', (t) => {
  t.equal(beginning(own, [says(other), unreachable]).kind, 'add')
  t.equal(beginning(own, [says(other, us({ name: '' }))]).kind, 'existing')
  t.end()
})
