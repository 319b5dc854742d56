import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { ChildServer } from '../support/child-server.ts';
import { freePort } from '../support/free-port.ts';
import { HttpClient } from '../support/http-client.ts';
import { IS_LONG } from '../support/long.ts';
import { programPath } from '../support/program.ts';

const PROMETHEUS = programPath('prometheus', 'no real Prometheus scrapes the server');
const SCRAPING_MS = IS_LONG ? 60_000 : 4000;
const PAUSE_MS = 5;
const OPERATIONS = new URL('../../docs/operations/', import.meta.url);
const TOKEN = 'a-token-of-the-test';

interface Result {
  readonly data: { readonly result: readonly { readonly value: readonly [number, string] }[] };
}

/** Starts a Prometheus that scrapes a server once a second. @returns a client of its API. */
async function startPrometheus(port: number): Promise<HttpClient> {
  const folder = mkdtempSync(join(tmpdir(), 'key-value-cache-'));
  const config = join(folder, 'prometheus.yml');
  writeFileSync(join(folder, 'token'), TOKEN);
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [fileURLToPath(new URL('alerts.yml', OPERATIONS))],
      scrape_configs: [
        {
          job_name: 'key-value-cache',
          static_configs: [{ targets: [`127.0.0.1:${port}`] }],
          authorization: { credentials_file: join(folder, 'token') },
        },
      ],
    }),
  );
  const ownPort = await freePort();
  const child = spawn(
    PROMETHEUS,
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${ownPort}`,
    ],
    { stdio: 'ignore' },
  );
  const ended = new Promise((resolve) => child.once('close', resolve));
  const client = new HttpClient(ownPort);
  onTestFinished(async () => {
    client.close();
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true });
  });
  const isReady = (): Promise<boolean> =>
    client.get('/-/ready').then(
      ({ status }) => status === 200,
      () => false,
    );
  await expect.poll(isReady, { interval: 50, timeout: 30_000 }).toBe(true);
  return client;
}

async function query(prometheus: HttpClient, expression: string): Promise<number | undefined> {
  const answer = await prometheus.get(`/api/v1/query?query=${encodeURIComponent(expression)}`);
  const [result] = (JSON.parse(answer.text) as Result).data.result;
  return result === undefined ? undefined : Number(result.value[1]);
}

test.skipIf(PROMETHEUS === '')(
  'a Prometheus scrapes it, and has the hit ratio that /stats gives',
  { timeout: SCRAPING_MS + 60_000 },
  async () => {
    const { port } = await ChildServer.listening({ env: { SHARDS: '2', AUTH_TOKEN: TOKEN } });
    const prometheus = await startPrometheus(port);
    const cache = new HttpClient(port);
    onTestFinished(() => cache.close());
    const headers = { authorization: `Bearer ${TOKEN}` };
    const body = JSON.stringify({ key: 'a', value: 'v' });
    const json = { ...headers, 'content-type': 'application/json' };
    await cache.call({ method: 'PUT', path: '/cache', headers: json, body });
    // It looks for its targets only some seconds after it has started.
    await expect.poll(() => query(prometheus, 'up'), { interval: 100 }).toBe(1);
    const endMs = performance.now() + SCRAPING_MS;
    for (let i = 0; performance.now() < endMs; i++) {
      await cache.get(`/cache/${i % 7 === 0 ? 'none' : 'a'}`, headers);
      // Some hundred requests are enough: tests beside this one need the processor.
      await delay(PAUSE_MS);
    }
    const { hits, misses } = (JSON.parse((await cache.get('/stats', headers)).text) as StatsBody).totals;
    expect(hits).toBeGreaterThan(100);
    // The next scrape has the last requests, too.
    await expect.poll(() => query(prometheus, 'sum(kvc_hits_total)'), { interval: 100 }).toBe(hits);
    const ratio = 'sum(kvc_hits_total) / (sum(kvc_hits_total) + sum(kvc_misses_total))';
    expect(await query(prometheus, ratio)).toBeCloseTo(hits / (hits + misses), 12);
    expect(await query(prometheus, 'min_over_time(up[2m])')).toBe(1);
    expect(await query(prometheus, 'count_over_time(up[2m])')).toBeGreaterThanOrEqual(SCRAPING_MS / 1000 - 1);
    await expectRulesToWork(prometheus);
    await expectPanelsToShow(prometheus);
    const median = 'histogram_quantile(0.5, sum by (le) (kvc_http_request_duration_seconds_bucket))';
    expect(await query(prometheus, median)).toBeLessThan(0.1);
  },
);

interface Rules {
  readonly data: { readonly groups: readonly { readonly rules: readonly { readonly health: string }[] }[] };
}

/** It has evaluated every alert rule without an error. */
async function expectRulesToWork(prometheus: HttpClient): Promise<void> {
  const healths = async (): Promise<string[]> => {
    const { data } = JSON.parse((await prometheus.get('/api/v1/rules')).text) as Rules;
    return data.groups.flatMap(({ rules }) => rules.map(({ health }) => health));
  };
  await expect.poll(async () => [...new Set(await healths())], { interval: 100 }).toStrictEqual(['ok']);
}

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets: readonly { readonly expr: string }[];
  }[];
}

/** Every panel of the dashboard has something to show, but for those of what has not happened here. */
async function expectPanelsToShow(prometheus: HttpClient): Promise<void> {
  const text = readFileSync(new URL('grafana-dashboard.json', OPERATIONS), 'utf8');
  const empty = new Set<string>();
  for (const { title, targets } of (JSON.parse(text) as Dashboard).panels) {
    let shown = 0;
    for (const { expr } of targets) {
      const expression = expr.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '1m');
      if ((await query(prometheus, expression)) !== undefined) shown++;
    }
    if (shown === 0) empty.add(title);
  }
  expect([...empty]).toStrictEqual(['Refusals and cut-offs by reason']);
}

interface StatsBody {
  readonly totals: { readonly hits: number; readonly misses: number };
}
