import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { ChildServer } from '../support/child-server.ts';
import { Crowd } from '../support/crowd.ts';
import { IS_LONG } from '../support/long.ts';
import { type ProbeAnswer, probe, probeOften } from '../support/probe.ts';

const LIMIT_BYTES = 256 * 2 ** 20;
const PROBES = IS_LONG ? 50 : 15;
const PROBE_INTERVAL_MS = IS_LONG ? 200 : 100;
const MAX_PROBE_MS = 1000;
/** As many ordinary connections as there were before there was a reserve. */
const MIN_PLACES = 1100;
const MIN_TLS_PLACES = 400;
/**
 * A client tries six times in its first half minute, and then every half minute. While 200 TLS clients begin in a second,
 * they want more handshakes than a processor can make. So probes are asked when this share of the clients has settled.
 */
const SETTLED_SHARE = 0.8;

interface Setup {
  readonly clients: number;
  readonly isSecure: boolean;
  readonly beginPerSecond: number;
  /** From one request of a client to its next. */
  readonly intervalMs: number;
  readonly hasSettled?: boolean;
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
  { clients: 20_000, isSecure: true, beginPerSecond: 200, intervalMs: 2000, hasSettled: true },
];

test.each(IS_LONG ? [...SETUPS, ...LONG_SETUPS] : SETUPS)(
  'at the limit of connections probes are answered within a second: %o',
  { timeout: 600_000 },
  async ({ clients, isSecure, beginPerSecond, intervalMs, hasSettled, settings }) => {
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
    await expect.poll(() => crowd.counts.begun, { timeout: 400_000, interval: 100 }).toBe(clients);
    await expect.poll(() => crowd.counts.refused, { timeout: 20_000, interval: 100 }).toBeGreaterThan(0);
    const settled = (): number => crowd.counts.settled / clients;
    if (hasSettled) {
      await expect.poll(settled, { timeout: 120_000, interval: 100 }).toBeGreaterThan(SETTLED_SHARE);
    }

    const { held } = crowd.counts;
    const ask = (what: string): Promise<ProbeAnswer> => probe(port, what, isSecure ? pem : undefined);
    const answers = await probeOften(PROBES, PROBE_INTERVAL_MS, (n) =>
      ask(n % 2 === 0 ? '/health' : '/ready'),
    );
    const slowestMs = Math.max(...answers.map(({ tookMs }) => tookMs));
    const peakBytes = child.residentBytes().most;
    console.log(
      `${clients} clients${isSecure ? ' over TLS' : ''}: ${JSON.stringify(crowd.counts)}, slowest of ${PROBES} probes ` +
        `${slowestMs} ms, peak ${Math.round(peakBytes / 2 ** 20)} MiB`,
    );
    expect(answers.filter(({ status }) => status !== 200)).toStrictEqual([]);
    expect(slowestMs).toBeLessThan(MAX_PROBE_MS);
    // Clients that ask seldom are closed for the sake of others while they rest.
    if (intervalMs < 1000) expect(held).toBeGreaterThan(isSecure ? MIN_TLS_PLACES : MIN_PLACES);
    expect(child.errors).toBe('');
    expect(peakBytes).toBeLessThan(LIMIT_BYTES);
  },
);
