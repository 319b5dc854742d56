import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { get as getSecure, Agent as SecureAgent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { ChildServer } from '../support/child-server.ts';
import { Crowd } from '../support/crowd.ts';

test.each([[Number(process.env['N'] ?? 1300), process.env['TLS'] === '1']])(
  '%i clients, TLS %s',
  { timeout: 400_000 },
  async (clients, isSecure) => {
    const folder = mkdtempSync(join(tmpdir(), 'kvc-crowd-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const { certFile, keyFile, pem } = makeCertificate(folder, 'server');
    const { child, port } = await ChildServer.listening({
      env: {
        SHARDS: '1',
        MEMORY_LIMIT: '256mb',
        ...(isSecure && { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile }),
      },
    });
    const crowd = new Crowd(clients > 2000 ? 2 : 1, {
      port,
      isSecure,
      clients,
      beginPerSecond: Number(process.env['RAMP'] ?? 500),
      intervalMs: Number(process.env['EVERY'] ?? 500),
      path: '/cache/none',
    });
    const seconds = Number(process.env['SECONDS'] ?? 20);
    for (let s = 0; s < seconds; s++) {
      const beganCpu = child.processorMs();
      const before = crowd.counts;
      const results: string[] = [];
      for (let i = 0; i < 5; i++) {
        const t = performance.now();
        void ask(port, isSecure, pem).then((status) =>
          results.push(`${status}:${Math.round(performance.now() - t)}`),
        );
        await delay(200);
      }
      const c = crowd.counts;
      console.log(
        s,
        JSON.stringify({
          ...c,
          served: c.served - before.served,
          refused: c.refused - before.refused,
          reset: c.reset - before.reset,
        }),
        `cpu ${child.processorMs() - beganCpu}`,
        `rss ${(child.residentBytes().most / 2 ** 20) | 0}`,
        results.join(' '),
      );
    }
    console.log(child.errors);
  },
);

function ask(port: number, isSecure: boolean, ca: string): Promise<string> {
  return new Promise((resolve) => {
    const sent = isSecure
      ? getSecure({
          host: '127.0.0.1',
          port,
          path: '/health',
          agent: new SecureAgent({ ca, maxCachedSessions: 0 }),
          headers: { connection: 'close' },
        })
      : get({ host: '127.0.0.1', port, path: '/health', agent: new Agent() });
    sent.setTimeout(5000, () => sent.destroy(new Error('timeout')));
    sent.on('response', (response) => {
      response.resume();
      response.on('end', () => resolve(String(response.statusCode)));
    });
    sent.on('error', (error) => resolve((error as NodeJS.ErrnoException).code ?? error.message));
  });
}
