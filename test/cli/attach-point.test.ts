import t from 'tap'
import { mustBePlace } from '../../cli/attach-point.ts'
import { nodeId } from '../../proto/ids.ts'
import { newRecord } from '../../replication/record.ts'

const root = {
  ...newRecord([nodeId('s1')]),
  attached: [
    { number: 1, volume: 'work', at: '/projects', parent: 1n, name: 'projects' },
    { number: 4, volume: 'deep', at: '/projects/a/deep', parent: 9n, name: 'deep' },
  ],
}

void t.test('a place is in the volume that is nearest above', (t) => {
  t.same(mustBePlace(root, '/a/b'), { volume: 'main', number: 0, names: ['a', 'b'] })
  t.same(mustBePlace(root, '/projects2'), { volume: 'main', number: 0, names: ['projects2'] })
  t.same(mustBePlace(root, '/projects/b'), { volume: 'work', number: 1, names: ['b'] })
  t.same(mustBePlace(root, '/projects/a/deep/c'), { volume: 'deep', number: 4, names: ['c'] })
  t.end()
})

void t.test('what can be no place is refused, with what to do', (t) => {
  const refused = (at: string, says: RegExp): void => void t.throws(() => mustBePlace(root, at), { message: says })
  refused('here', /no path from the root of the tree\. Nothing was changed\. Write it like \/projects/)
  refused('/a//b', /no path from the root/)
  refused('/a/..', /no path from the root/)
  refused('/', /the root is volume main's/)
  refused('/projects', /volume work has it\. .*Choose another/)
  refused('/projects/a', /would hide volume deep at \/projects\/a\/deep/)
  t.end()
})
