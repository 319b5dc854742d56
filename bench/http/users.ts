/**
 * A load test of a running server with autocannon, its progress bar and its tables: a hundred connections, nine GETs to
 * a PUT, as the locustfile does.
 */
import autocannon from 'autocannon';
import { parseArgs } from 'node:util';
import { keyOf, valueOf } from '../lib/data.ts';
import { readFlags } from '../lib/flags.ts';

const USERS = 100;
const SECONDS = 15;
const GETS_PER_PUT = 9;

const DEFAULT_URL = 'http://127.0.0.1:7171';

const HELP = `Puts ${USERS} users on a running server for ${SECONDS} s: ${GETS_PER_PUT} GETs to a PUT. It writes entries into that server.

  npm run bench:users [-- ADDRESS]

  ADDRESS   of the server (default ${DEFAULT_URL})
`;

const url = readFlags(HELP, () => {
  const { positionals } = parseArgs({ allowPositionals: true });
  if (positionals.length > 1) throw new Error('ADDRESS: one at most');
  const [address = DEFAULT_URL] = positionals;
  if (!URL.canParse(address)) throw new Error('ADDRESS: a URL, such as ' + DEFAULT_URL);
  return address;
});
try {
  await fetch(new URL('/health', url));
} catch {
  console.error(`${url}: no server answers there; npm run bench:users [-- ADDRESS]`);
  process.exit(1);
}
let [users, wrong] = [0, 0];

function expect(text: string): (status: number, body: string) => void {
  return (status, body) => {
    if (status !== 200 || !body.includes(text)) wrong++;
  };
}

/** Each user has a key of its own: it is put, then read. */
function requestsOf(user: number): autocannon.Request[] {
  const [key, value] = [keyOf(user), valueOf(user)];
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ key, value });
  const get = { method: 'GET', path: `/get?key=${key}`, onResponse: expect(value) } as const;
  return [
    { method: 'POST', path: '/put', headers, body, onResponse: expect('OK') },
    ...Array.from({ length: GETS_PER_PUT }, () => get),
  ];
}

const setupClient = (client: autocannon.Client): void => client.setRequests(requestsOf(users++));
const options = { url, connections: USERS, duration: SECONDS, setupClient };
const instance = autocannon(options, (_error: unknown, { errors }: autocannon.Result) => {
  console.error(`${wrong} wrong answers, ${errors} requests without an answer`);
  if (wrong + errors > 0) process.exitCode = 1;
});
autocannon.track(instance, { renderLatencyTable: true });
