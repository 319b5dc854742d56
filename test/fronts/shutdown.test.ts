import { expect, test } from 'vitest';
import { ChildServer } from '../support/child-server.ts';
import { Load } from '../support/load.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { startTestServer } from '../support/server.ts';

test('SIGTERM under load over four HTTP threads: as many requests are answered as were sent', async () => {
  const { child, port } = await ChildServer.listening({
    env: { FRONTS: '4', SHARDS: '2', REQUEST_DEADLINE_MS: '30000' },
  });
  const load = new Load(port);
  await load.until(3000);
  child.signal('SIGTERM');
  const connections = await load.ended();
  expect(await child.exited).toStrictEqual({ code: 0, signal: null });
  expect(load.answered).toBe(load.sent);
  expect([...load.statuses].toSorted()).toStrictEqual(['200', '201']);
  for (const { rest } of connections) expect(rest).toBe('');
  expect(child.output).toMatch(/"msg":"listening on .* with 2 shards and 4 HTTP threads;/);
  expect(child.output).toMatch(/"msg":"stopped after \d+ ms"/);
});

test('requests that pipelines leave behind the last answer are counted on each HTTP thread', async () => {
  await using server = await startTestServer({ FRONTS: '4', REQUEST_DEADLINE_MS: '30000' });
  const sockets = await Promise.all(Array.from({ length: 32 }, () => RawSocket.open(server.port)));
  const ask = 'GET /cache/key HTTP/1.1\r\nhost: test\r\n\r\n';
  for (const raw of sockets) {
    // As many are always in the pipeline.
    raw.socket.on('data', (chunk: string) => raw.write(ask.repeat(chunk.split('HTTP/1.1 404').length - 1)));
    raw.write(ask.repeat(16));
  }
  await Promise.all(sockets.map((raw) => raw.until(/404/)));
  await server.close();
  expect(server.unanswered()).toBeGreaterThan(server.app.purse.totals.requests);
  sockets.forEach((raw) => raw.close());
});

test('a port that another server shares among its HTTP threads is in use', async () => {
  const { port } = await ChildServer.listening({ env: { FRONTS: '2', SHARDS: '1' } });
  const second = new ChildServer({ env: { FRONTS: '2', SHARDS: '1', PORT: String(port) } });
  expect((await second.exited).code).toBe(1);
  expect(second.errors).toMatch(/^PORT: "\d+" is in use by another process/);
});
