import { expect } from 'vitest';
import { HttpClient } from './http-client.ts';
import type { TestServer } from './server.ts';

/** Open connections of each HTTP thread, by number: the main thread is 0. A spare thread has none. */
export async function connectionsByFront({ app, fronts }: TestServer): Promise<number[]> {
  await fronts.refresh();
  const further = fronts.fronts.map(({ lastFigures }) =>
    lastFigures.reduce((sum, { connections }) => sum + connections.open, 0),
  );
  return [app.frontDoor.size, ...further];
}

/** Which HTTP threads serve now: the main thread is 0. */
export function servingFronts({ fronts }: TestServer): number[] {
  return [0, ...fronts.fronts.filter(({ serves }) => serves).map(({ number }) => number)];
}

/**
 * Opens connections until each HTTP thread that serves has some: which one gets a connection, the kernel decides.
 * @returns the clients by the number of their thread. Each has one connection, which it keeps.
 */
export async function spreadClients(
  server: TestServer,
  perFront: number,
  ca?: string,
): Promise<Map<number, HttpClient[]>> {
  const byFront = new Map(servingFronts(server).map((front) => [front, [] as HttpClient[]]));
  const isSpread = (): boolean => [...byFront.values()].every((clients) => clients.length >= perFront);
  for (let tries = 0; !isSpread() && tries < 500; tries++) {
    const before = await connectionsByFront(server);
    const client = new HttpClient(server.port, ca);
    await client.get('/health');
    const after = await connectionsByFront(server);
    const clients = byFront.get(after.findIndex((count, front) => count > before[front])) ?? [];
    if (clients.length < perFront) {
      clients.push(client);
      continue;
    }
    client.close();
    await expect.poll(() => connectionsByFront(server)).toStrictEqual(before);
  }
  expect([...byFront.values()].map(({ length }) => length)).toStrictEqual([...byFront].map(() => perFront));
  return byFront;
}
