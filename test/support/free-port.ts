import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below what systems give out for port 0 and to clients, so that nobody is given one of these by chance. */
const FIRST_PORT = 15_000;
const PORTS_PER_WORKER = 4000;

/** Files that run at the same time have workers with numbers of their own, from 1 on. */
const worker = Number(process.env['VITEST_POOL_ID'] ?? 0) % 4;
/** Another run on the same machine begins at another place. */
let next = process.pid;

/** A port that nobody listens on: for servers that cannot tell which one they have taken. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < PORTS_PER_WORKER; tries++) {
    const port = FIRST_PORT + worker * PORTS_PER_WORKER + (next++ % PORTS_PER_WORKER);
    if (await isFree(port)) return port;
  }
  throw new Error('no port is free');
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
