/**
 * The load of the locustfile without Locust: a hundred users, each on a connection of its own, who wait a moment
 * between two requests as people's requests do. `npm run bench:users` against a server on port 7171, or
 * `npm run bench:users -- http://host:port`.
 */
import { Agent, request } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';

const USERS = 100;
const SECONDS = 15;
const WARM_UP_SECONDS = 3;
const WAIT_MS = 20;
const KEYS_PER_USER = 100;
/** One PUT to nine GETs. */
const PUT_EVERY = 10;
const VALUE = 'v'.repeat(100);

const [address = 'http://127.0.0.1:7171'] = process.argv.slice(2);
if (!URL.canParse(address)) {
  console.error(`${address}: is not an address; npm run bench:users -- [http://host:port]`);
  process.exit(1);
}
const base = new URL(address);
const agent = new Agent({ keepAlive: true, maxSockets: USERS });
const latenciesMs: number[] = [];
let failed = 0;

function ask(method: string, path: string, body: string | undefined, wanted: string): Promise<boolean> {
  return new Promise((resolve) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const sent = request(new URL(path, base), { method, agent, headers }, (response) => {
      let text = '';
      response.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve(response.statusCode === 200 && text.includes(wanted)));
    });
    sent.on('error', () => resolve(false));
    sent.end(body);
  });
}

async function user(n: number, startMs: number): Promise<void> {
  // They do not all ask in the same millisecond.
  await wait((n * WAIT_MS) / USERS);
  for (let i = 0; performance.now() < startMs + SECONDS * 1000; i++) {
    const key = `user-${n}-${Math.floor(i / PUT_EVERY) % KEYS_PER_USER}`;
    const value = `${VALUE}-${key}`;
    const beganMs = performance.now();
    const isRight =
      i % PUT_EVERY === 0
        ? await ask('POST', '/put', JSON.stringify({ key, value }), 'OK')
        : await ask('GET', `/get?key=${key}`, undefined, value);
    const endedMs = performance.now();
    if (beganMs > startMs + WARM_UP_SECONDS * 1000) latenciesMs.push(endedMs - beganMs);
    if (!isRight) failed++;
    await wait(WAIT_MS);
  }
}

const startMs = performance.now();
await Promise.all(Array.from({ length: USERS }, (_, n) => user(n, startMs)));
agent.destroy();
latenciesMs.sort((a, b) => a - b);
const quantile = (share: number): string =>
  `${latenciesMs[Math.floor(latenciesMs.length * share)].toFixed(2)} ms`;
const rate = Math.round(latenciesMs.length / (SECONDS - WARM_UP_SECONDS));
console.log(
  `${USERS} users: ${rate} requests/s, median ${quantile(0.5)}, 95th percentile ${quantile(0.95)}, ` +
    `99th ${quantile(0.99)}, ${failed} failed`,
);
