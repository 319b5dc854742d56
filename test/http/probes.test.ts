import { expect, test } from 'vitest';
import { ChildServer } from '../support/child-server.ts';
import { getText } from '../support/http-text.ts';
import { IS_LONG } from '../support/long.ts';
import { HttpClient, expectError } from '../support/http-client.ts';
import { HttpPipe } from '../support/http-pipe.ts';
import { scrape } from '../support/metrics-text.ts';
import { type ProbeAnswer, probe, probeOften } from '../support/probe.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { faultValue } from '../support/faults.ts';
import { startFaultyServer } from '../support/faulty-server.ts';

/** What an orchestrator waits for by default. */
const MAX_PROBE_MS = 1000;
const INTERVAL_MS = 200;

function expectWell(answers: readonly ProbeAnswer[]): void {
  expect(answers.filter(({ status, tookMs }) => status !== 200 || tookMs > MAX_PROBE_MS)).toStrictEqual([]);
}

function slowestMs(answers: readonly ProbeAnswer[]): number {
  return Math.max(...answers.map(({ tookMs }) => tookMs));
}

const PUT_HEAD = 'PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n';

test('with the room for bodies taken, and as many waiting for it as may wait', async () => {
  const { port } = await ChildServer.listening({ env: { SHARDS: '1', MEMORY_LIMIT: '256mb' } });
  const waiters = await RawSocket.openMany(port, 1000);
  waiters[0].write(`${PUT_HEAD}transfer-encoding: chunked\r\n\r\n1\r\n{`);
  await probe(port, '/health');
  for (const raw of waiters.slice(1)) raw.write(`${PUT_HEAD}content-length: 5000\r\n\r\n{`);
  await expect.poll(() => waiters.some(({ text }) => text.includes('CACHE_ERR_BUSY'))).toBe(true);
  expectWell(await probeOften(10, 20, () => probe(port, '/health')));
  const samples = await scrape(new HttpClient(port));
  expect(samples.get('kvc_http_refusals_total{reason="bodies"}')).toBeGreaterThan(0);
  for (const raw of waiters) raw.close();
});

test('with the queue of a shard full, which does not answer', async () => {
  await using server = await startFaultyServer({
    SHARDS: '1',
    SHARD_QUEUE_LIMIT: '64',
    REQUEST_DEADLINE_MS: '3000',
  });
  const { port, router, client } = server;
  const hanging = await HttpPipe.open(port);
  void hanging.put('a', faultValue('sleep')).catch(() => undefined);
  const raw = await RawSocket.open(port);
  raw.write(getText('none').repeat(200));
  await expect.poll(() => router.shards[0].mailbox!.inFlight).toBe(64);
  expectWell(await probeOften(5, 20, () => probe(port, '/health')));
  // The queue was full all the time.
  expectError(await client.get('/cache/none'), 503, 'CACHE_ERR_SHARD_BUSY');
  raw.close();
  hanging.close();
  // It would hold up the end of the server until its deadline.
  await router.shards[0].kill();
});

test('beside hundreds of connections that pipeline', async () => {
  const { port } = await ChildServer.listening({
    env: { SHARDS: '1', SHARD_QUEUE_LIMIT: '64', MEMORY_LIMIT: '256mb' },
  });
  const pipes = await Promise.all(Array.from({ length: 128 }, () => HttpPipe.open(port)));
  // Accepted, that is: Node takes one connection per turn of its event loop, and such a load makes turns long.
  await Promise.all(pipes.map((pipe) => pipe.get('/health')));
  let isOver = false;
  const lane = async (pipe: HttpPipe): Promise<void> => {
    while (!isOver) await pipe.get('/cache/none');
  };
  const lanes = pipes.flatMap((pipe) => Array.from({ length: 8 }, () => lane(pipe)));
  const answers = await probeOften(IS_LONG ? 12 : 6, INTERVAL_MS, () => probe(port, '/health'));
  isOver = true;
  await Promise.all(lanes);
  console.log(`slowest after ${slowestMs(answers)} ms`);
  expectWell(answers);
  for (const pipe of pipes) pipe.close();
});
