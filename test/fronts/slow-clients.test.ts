import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { deriveTrafficLimits } from '../../src/config/memory-shares.ts';
import { cachePath } from '../support/http-client.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { type TestServer, startTestServer } from '../support/server.ts';
import { connectionsByFront, spreadClients } from '../support/spread-clients.ts';

const MIB = 2 ** 20;
const LIMIT_BYTES = 640 * MIB;
/** More than the system keeps for a client that takes nothing. */
const VALUE_BYTES = 6 * MIB;
const DEADLINE_MS = 1000;
const GET_LARGE = 'GET /cache/large HTTP/1.1\r\nhost: test\r\n\r\n';

/** Opens connections until so many are those of one HTTP thread. The others are closed. */
async function socketsOf(server: TestServer, front: number, count: number): Promise<RawSocket[]> {
  const sockets: RawSocket[] = [];
  onTestFinished(() => sockets.forEach((socket) => socket.close()));
  while (sockets.length < count) {
    const before = (await connectionsByFront(server))[front];
    const raw = await RawSocket.open(server.port);
    raw.write('GET /health HTTP/1.1\r\nhost: test\r\n\r\n');
    await raw.until(/"status":"OK"/);
    if ((await connectionsByFront(server))[front] > before) sockets.push(raw);
    else raw.close();
  }
  return sockets;
}

test('clients of one HTTP thread that do not take large answers are cut off for those of another', async () => {
  await using server = await startTestServer({
    FRONTS: '2',
    SHARDS: '1',
    MEMORY_LIMIT: '640mb',
    MAX_VALUE_BYTES: '8mb',
    REQUEST_DEADLINE_MS: String(DEADLINE_MS),
  });
  expect((await server.client.put('large', 'x'.repeat(VALUE_BYTES))).status).toBe(201);
  const [[reader], [other]] = [...(await spreadClients(server, 1)).values()];
  onTestFinished(() => [reader, other].forEach((client) => client.close()));
  const { replyWindowBytes } = deriveTrafficLimits(LIMIT_BYTES, 0.7, 1, 2);
  const sockets = await socketsOf(server, 1, Math.ceil(replyWindowBytes / VALUE_BYTES));
  for (const { socket } of sockets) socket.pause();
  for (const socket of sockets) socket.write(GET_LARGE);
  // As long as a client may take while nobody waits.
  await delay(1.5 * DEADLINE_MS);
  expect((await server.client.stats()).cutOffs.slow_answer).toBe(0);
  // The main thread's own client waits for room that the other thread's clients have.
  const { status, text } = await reader.get(cachePath('large'));
  expect([status, text.length > VALUE_BYTES]).toStrictEqual([200, true]);
  expect((await server.client.stats()).cutOffs.slow_answer).toBeGreaterThan(0);
});
