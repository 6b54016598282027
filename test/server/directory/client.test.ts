import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { DirectoryServiceClient, DirectoryServiceService } from '../../../proto/generated/directory-service.ts'
import { DirectoryClient } from '../../../server/directory/client.ts'
import { DirectoryUnavailable } from '../../../server/directory/directory.ts'
import { EmbeddedDirectory } from '../../../server/directory/embedded.ts'
import { directoryService } from '../../../server/directory/service.ts'
import { advertToWire } from '../../../server/directory/wire.ts'
import { advert, Ears, first, ruledBy, runDirectorySuite, s1 } from './suite.ts'
import { until } from './until.ts'

class Process {
  readonly folder = mkdtempSync(path.join(os.tmpdir(), 'banyan-directory-'))
  readonly address = `unix:${path.join(this.folder, 'up.sock')}`
  #server: Server | undefined
  #directory: EmbeddedDirectory | undefined

  async start(leaseMs = 2000): Promise<void> {
    this.#directory = await EmbeddedDirectory.open(path.join(this.folder, 'level'))
    const server = new Server()
    server.addService(DirectoryServiceService, directoryService(this.#directory, { leaseMs }))
    await new Promise<void>((resolve, reject) =>
      server.bindAsync(this.address, ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve(),
      ),
    )
    this.#server = server
  }

  /** As abruptly as the end of a process. */
  async stop(): Promise<void> {
    this.#server?.forceShutdown()
    await this.#directory?.close()
    this.#server = undefined
    this.#directory = undefined
  }
}

function newProcess(test: Test): Process {
  const made = new Process()
  test.teardown(async () => {
    await made.stop()
    rmSync(made.folder, { recursive: true, force: true })
  })
  return made
}

function newClient(test: Test, { address }: Process): DirectoryClient {
  const client = new DirectoryClient(address)
  test.teardown(() => client.close())
  return client
}

runDirectorySuite(async (t) => {
  const up = newProcess(t)
  await up.start()
  return { one: newClient(t, up), other: newClient(t, up), where: up.address }
})

void t.test('a directory that starts again is found again: record, adverts and watch', async (t) => {
  const up = newProcess(t)
  await up.start()
  const [server, driver] = [newClient(t, up), newClient(t, up)]
  await server.createRecord('main', first)
  const kept = server.advertise('main', advert(s1))
  const ears = new Ears()
  const watch = driver.watch('main', ears)
  t.teardown(() => {
    watch.close()
    kept.close()
  })
  await until('the advert', () => ears.names() === 's1')
  await up.stop()
  kept.update({ role: 'primary' })
  await t.rejects(driver.readRecord('main'), DirectoryUnavailable)
  await up.start()
  await until('the advert anew', () => ears.adverts?.[0]?.role === 'primary')
  t.same(await server.swapRecord('main', 1, ruledBy(s1, 1)), { version: 2, record: ruledBy(s1, 1) })
  await until('the watch to go on', () => ears.last?.version === 2)
})

void t.test('a client that comes before its directory waits for it', async (t) => {
  const up = newProcess(t)
  const early = newClient(t, up)
  const ears = new Ears()
  const watch = early.watch('main', ears)
  t.teardown(() => watch.close())
  await up.start()
  await early.createRecord('main', first)
  await until('the record', () => ears.last?.version === 1)
})

void t.test('an advert whose process is silent ends', async (t) => {
  const up = newProcess(t)
  await up.start(100)
  const frozen = new DirectoryServiceClient(up.address, credentials.createInsecure())
  t.teardown(() => frozen.close())
  const ears = new Ears()
  const watch = newClient(t, up).watch('main', ears)
  t.teardown(() => watch.close())
  const stream = frozen.advertise(() => {})
  stream.on('error', () => {})
  stream.write({ volume: 'main', advert: advertToWire(advert(s1)) })
  await until('the advert', () => ears.names() === 's1')
  await until('its end', () => ears.names() === '')
})
