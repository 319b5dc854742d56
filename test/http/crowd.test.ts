import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { Agent as SecureAgent, get as getSecure } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { ChildServer } from '../support/child-server.ts';
import { Crowd } from '../support/crowd.ts';
import { IS_LONG } from '../support/long.ts';

const LIMIT_BYTES = 256 * 2 ** 20;
const PROBES = IS_LONG ? 50 : 15;
const PROBE_INTERVAL_MS = 200;
const MAX_PROBE_MS = 1000;

interface Setup {
  readonly clients: number;
  readonly isSecure: boolean;
  readonly beginPerSecond: number;
  /** From one request of a client to its next. */
  readonly intervalMs: number;
  readonly settings?: Readonly<Record<string, string>>;
}

const SETUPS: readonly Setup[] = [
  { clients: 1300, isSecure: false, beginPerSecond: 650, intervalMs: 500, settings: { RATE_LIMIT: '100' } },
  { clients: 1300, isSecure: true, beginPerSecond: 260, intervalMs: 500 },
];
const LONG_SETUPS: readonly Setup[] = [
  { clients: 1300, isSecure: false, beginPerSecond: 650, intervalMs: 500 },
  { clients: 5000, isSecure: false, beginPerSecond: 500, intervalMs: 500 },
  { clients: 20_000, isSecure: false, beginPerSecond: 500, intervalMs: 2000 },
  { clients: 5000, isSecure: true, beginPerSecond: 200, intervalMs: 500 },
  { clients: 20_000, isSecure: true, beginPerSecond: 200, intervalMs: 2000 },
];

test.each(IS_LONG ? [...SETUPS, ...LONG_SETUPS] : SETUPS)(
  'at the limit of connections probes are answered within a second: %o',
  { timeout: 300_000 },
  async ({ clients, isSecure, beginPerSecond, intervalMs, settings }) => {
    const folder = mkdtempSync(join(tmpdir(), 'kvc-crowd-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const { certFile, keyFile, pem } = makeCertificate(folder, 'server');
    const tls = isSecure ? { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile } : {};
    const { child, port } = await ChildServer.listening({
      env: { SHARDS: '1', MEMORY_LIMIT: '256mb', ...tls, ...settings },
    });
    const processes = clients > 2000 ? 2 : 1;
    const path = '/cache/none';
    const crowd = new Crowd(processes, { port, isSecure, clients, beginPerSecond, intervalMs, path });
    await expect.poll(() => crowd.counts.begun, { timeout: 200_000, interval: 100 }).toBe(clients);
    await expect.poll(() => crowd.counts.refused, { timeout: 20_000, interval: 100 }).toBeGreaterThan(0);

    const asked: Promise<{ status: string; ms: number }>[] = [];
    for (let i = 0; i < PROBES; i++) {
      asked.push(probe(port, isSecure, pem));
      await delay(PROBE_INTERVAL_MS);
    }
    const answers = await Promise.all(asked);
    const slowestMs = Math.round(Math.max(...answers.map(({ ms }) => ms)));
    const peakBytes = child.residentBytes().most;
    console.log(
      `${clients} clients${isSecure ? ' over TLS' : ''}: ${JSON.stringify(crowd.counts)}, slowest of ${PROBES} probes ` +
        `${slowestMs} ms, peak ${Math.round(peakBytes / 2 ** 20)} MiB`,
    );
    expect(answers.map(({ status }) => status)).toStrictEqual(answers.map(() => '200'));
    expect(slowestMs).toBeLessThan(MAX_PROBE_MS);
    expect(peakBytes).toBeLessThan(LIMIT_BYTES);
  },
);

/** Asks on a connection of its own. @returns the status, or why there is none. */
function probe(port: number, isSecure: boolean, ca: string): Promise<{ status: string; ms: number }> {
  const beganMs = performance.now();
  return new Promise((resolve) => {
    const end = (status: string): void => resolve({ status, ms: performance.now() - beganMs });
    const options = { host: '127.0.0.1', port, path: '/health' };
    const sent = isSecure
      ? getSecure({ ...options, agent: new SecureAgent({ ca, maxCachedSessions: 0 }) })
      : get({ ...options, agent: new Agent() });
    sent.on('response', (response) => {
      response.resume().on('end', () => end(String(response.statusCode)));
    });
    sent.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}
