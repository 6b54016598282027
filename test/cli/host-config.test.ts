import { readFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { parseHostConfig } from '../../cli/config/host-config.ts'
import { Failure } from '../../cli/failure.ts'
import { checkout } from '../fixtures/program.ts'

const file = '/etc/banyan/banyan.toml'
const example = readFileSync(path.join(checkout, 'docs/banyan.toml'), 'utf8')

void t.test('the example for three hosts is one, with the standards that it names', async (t) => {
  const config = parseHostConfig(example, file)
  t.match(config, {
    node: 'alpha',
    stateFolder: '/var/lib/banyan',
    serves: true,
    restart: true,
    logLevel: 'info',
    listen: ['10.0.0.1:7400'],
    directory: { kind: 'embedded', node: 'alpha', address: '10.0.0.1:7401' },
    tls: { kind: 'certificates', folder: '/etc/banyan' },
  })
  t.same([...config.hosts.values()], ['10.0.0.1:7400', '10.0.0.2:7400', '10.0.0.3:7400'])
  t.same([...config.volumes], [['main', { mirrors: ['alpha', 'beta', 'gamma'] }]])
  t.same(config.mounts, [{ path: '/cluster', provider: undefined, readOnly: false, unavailableSeconds: 60 }])
})

void t.test('every setting that the example comments out is one', async (t) => {
  const optional = example.split('\n').filter((line) => /^# \w+ = /.test(line) && !line.includes('instead'))
  t.ok(optional.length > 6)
  const all = example.replaceAll(/^# (?=(?!.*instead)\w+ = )/gm, '')
  t.match(parseHostConfig(all, file), { node: 'alpha', mounts: [{ provider: 'alpha' }] })
  const given = example.replace('embedded = "alpha" ', '# ')
  const etcd = given.replace('# etcd = ["', 'etcd = ["')
  t.match(parseHostConfig(etcd, file).directory, { kind: 'etcd', endpoints: ['https://10.0.0.1:2379'] })
  const managed = given.replace('# etcd = "managed"', 'etcd = "managed"')
  t.match(parseHostConfig(managed, file).directory, { kind: 'managed-etcd' })
})

void t.test('a host that only mounts needs no more than its name, the directory and the mount', async (t) => {
  const text = `node.name = "desk"\nhosts.alpha = "fd00::1"\ndirectory.embedded = "alpha"\nmounts = [{ path = "/c" }]`
  t.match(parseHostConfig(text, file), {
    serves: false,
    listen: [],
    directory: { address: '[fd00::1]:7401' },
    volumes: new Map(),
  })
})

/** What is put into the example, in the place of what; what the refusal says. */
const wrong: readonly (readonly [what: string, from: string | RegExp, to: string, says: RegExp])[] = [
  ['no TOML', /^\[hosts\]/m, '[hosts', /banyan\.toml:11: .*Correct line 11/],
  ['no name', 'name = "alpha"', '', /banyan\.toml:4: node\.name is not right: .*Write for example name = "alpha"/],
  ['a name that is none', '"alpha"', '"Alpha!"', /banyan\.toml:5: node\.name .*a-z, 0-9 and -.*name = "alpha"/],
  [
    'an unknown setting',
    '[log]',
    '[log]\ncolour = 1',
    /banyan\.toml:\d+: log\.colour is no setting.*docs\/banyan\.toml/,
  ],
  ['an unknown table', '[log]', '[logs]', /banyan\.toml:\d+: logs is no setting.*docs\/banyan\.toml/],
  [
    'an address that is none',
    '"10.0.0.2"',
    '"10.0.0.2:99999"',
    /banyan\.toml:13: hosts\.beta .*HOST:PORT.*10\.0\.0\.1/,
  ],
  ['no directory', 'embedded = "alpha"', '', /banyan\.toml:16: directory says neither.*embedded = "alpha", or etcd/],
  ['two directories', '# etcd = "man', 'etcd = "man', /directory is both embedded and etcd.*Write/],
  ['a directory elsewhere', 'embedded = "alpha"', 'embedded = "delta"', /banyan\.toml:17: .*delta, which is no host/],
  [
    'a strange mirror',
    '["alpha", "beta"',
    '["delta", "beta"',
    /volumes\.main\.mirrors names delta.*alpha, beta, gamma/,
  ],
  ['a mirror twice', '"beta", "gamma"]', '"beta", "beta"]', /mirrors names a host twice.*once/],
  ['a mount without a path', 'path = "/cluster"', '', /mounts\.0\.path .*\[\[mounts\]\] with path = "\/cluster"/],
  ['a relative path', '"/cluster"', '"cluster"', /mounts\.0\.path .*begins with \//],
  ['one path twice', '[log]', '[[mounts]]\npath = "/cluster/"\n[log]', /mounts\.1\.path is the path of another mount/],
  [
    'a strange provider',
    '# provider = "alpha"',
    'provider = "zeta"',
    /mounts\.0\.provider is zeta.*alpha, beta, gamma/,
  ],
  [
    'plaintext over a network',
    '# plaintext',
    'plaintext',
    /tls\.plaintext is for loopback only, and 10\.0\.0\.1.*banyan cert/,
  ],
  [
    'an etcd without encryption',
    /embedded.*/,
    'etcd = ["http://[fd00::1]:2379"]',
    /directory\.etcd is reached without encryption.*https/,
  ],
  ['an unknown level', '# level = "info"', 'level = "loud"', /log\.level .*level = "info"/],
]

for (const [what, from, to, says] of wrong) {
  void t.test(`${what} is refused in one line, with its place and what to do`, async (t) => {
    const text = example.replace(from, to)
    t.not(text, example)
    t.throws(() => parseHostConfig(text, file), { name: 'Failure', message: says })
    t.throws(() => parseHostConfig(text, file), { message: /^[^\n]+$/ })
  })
}

void t.test('whatever stands in the file: settings, or a refusal of one line', async () => {
  const judge = (text: string): boolean => {
    try {
      parseHostConfig(text, file)
      return true
    } catch (error) {
      return error instanceof Failure && !error.message.includes('\n')
    }
  }
  const cut = fc.tuple(
    fc.nat(example.length),
    fc.nat(40),
    fc.oneof(fc.string(), fc.constantFrom('"', '[', '=', '__proto__ = 1')),
  )
  fc.assert(fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' })), judge), { numRuns: 2000 })
  fc.assert(
    fc.property(fc.array(cut, { minLength: 1, maxLength: 3 }), (cuts) =>
      judge(cuts.reduce((text, [at, length, put]) => text.slice(0, at) + put + text.slice(at + length), example)),
    ),
    { numRuns: 3000 },
  )
})
