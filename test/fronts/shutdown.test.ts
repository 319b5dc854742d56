import { expect, test } from 'vitest';
import { ChildServer } from '../support/child-server.ts';
import { Load } from '../support/load.ts';

test('SIGTERM under load over four HTTP threads: as many requests are answered as were sent', async () => {
  const { child, port } = await ChildServer.listening({ env: { FRONTS: '4', SHARDS: '2' } });
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

test('a port that another server shares among its HTTP threads is in use', async () => {
  const { port } = await ChildServer.listening({ env: { FRONTS: '2', SHARDS: '1' } });
  const second = new ChildServer({ env: { FRONTS: '2', SHARDS: '1', PORT: String(port) } });
  expect((await second.exited).code).toBe(1);
  expect(second.errors).toMatch(/^PORT: "\d+" is in use by another process/);
});
