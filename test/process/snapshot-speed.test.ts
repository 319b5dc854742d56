import { statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ChildServer } from '../support/child-server.ts';
import { makeFolder } from '../support/folder.ts';
import { HttpClient } from '../support/http-client.ts';
import { HttpPipe } from '../support/http-pipe.ts';
import { IS_LONG } from '../support/long.ts';
import { Random } from '../support/random.ts';

const ENTRIES = IS_LONG ? 1_000_000 : 20_000;
const BATCH = 500;
const CONNECTIONS = 8;
const ROUNDS = IS_LONG ? 5 : 1;
const MIB = 2 ** 20;
/** A server that has just started has to compile what it runs. */
const WARM_UP_MS = IS_LONG ? 1000 : 0;
/** How much longer the 99th percentile of GETs may be while the file is read. */
const MAX_P99_RATIO = 2;

const valueOf = (i: number): string => `value-${i}-`.padEnd(100, 'v');

async function start(path: string): Promise<{ child: ChildServer; port: number; client: HttpClient }> {
  const { child, port } = await ChildServer.listening({ env: { SHARDS: '1', SNAPSHOT_FILE: path } });
  const client = new HttpClient(port);
  onTestFinished(() => client.close());
  return { child, port, client };
}

async function putAll(client: HttpClient): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < ENTRIES) {
      const from = next;
      next += BATCH;
      const requests = Array.from({ length: Math.min(BATCH, ENTRIES - from) }, (_, i) => ({
        method: 'PUT',
        key: `key-${from + i}`,
        value: valueOf(from + i),
      }));
      for (;;) {
        const { text } = await client.send('POST', '/batch', { requests });
        if (!text.includes('"status":503')) break;
      }
    }
  };
  await Promise.all([worker(), worker()]);
}

/** How long GETs take, one after the other on each connection. Ends when `isOver`. */
async function measureGets(port: number, isOver: (sent: number) => boolean): Promise<number[]> {
  const random = new Random(1);
  const tookMs: number[] = [];
  const warmMs = performance.now() + WARM_UP_MS;
  let sent = 0;
  const ask = async (): Promise<void> => {
    const pipe = await HttpPipe.open(port);
    while (!isOver(sent++)) {
      const startedMs = performance.now();
      await pipe.get(`/cache/key-${random.whole(0, ENTRIES - 1)}`);
      if (startedMs > warmMs) tookMs.push(performance.now() - startedMs);
    }
    pipe.close();
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, ask));
  return tookMs.toSorted((a, b) => a - b);
}

const quantile = (sorted: readonly number[], share: number): number =>
  Number(sorted[Math.floor(sorted.length * share)].toFixed(3));

function secondsIn(output: string, pattern: RegExp): number {
  return Number(pattern.exec(output)?.[1]) / 1000;
}

interface Round {
  /** How long GETs took while the file was read, and after that, in order. */
  readonly during: readonly number[];
  readonly after: readonly number[];
  /** Of their 99th percentiles. */
  readonly ratio: number;
  readonly tookS: number;
}

async function readBesideGets(path: string): Promise<Round> {
  const { child, port, client } = await start(path);
  const during = await measureGets(port, () => child.output.includes('"snapshot read: '));
  const after = await measureGets(port, (sent) => sent > Math.max(1000, 2 * during.length));
  const tookS = secondsIn(child.output, /"tookMs":(\d+),"msg":"snapshot read/);
  expect((await client.get(`/cache/key-${ENTRIES - 1}`)).text).toContain(valueOf(ENTRIES - 1));
  await child.end();
  return { during, after, tookS, ratio: quantile(during, 0.99) / quantile(after, 0.99) };
}

test(
  `${ENTRIES} entries of 100 bytes are written, and read while GETs are served`,
  { timeout: 600_000 },
  async () => {
    const path = join(makeFolder(), 'snapshot');
    const first = await start(path);
    await putAll(first.client);
    first.child.signal('SIGTERM');
    await first.child.exited;
    const megabytes = statSync(path).size / MIB;
    const writtenS = secondsIn(first.child.output, /"tookMs":(\d+),"msg":"snapshot written/);

    const idle = await start(path);
    await expect.poll(() => idle.child.output, { timeout: 60_000 }).toContain('"snapshot read: ');
    expect(idle.child.output).toContain(`"snapshot read: ${ENTRIES} entries in `);
    const readS = secondsIn(idle.child.output, /"tookMs":(\d+),"msg":"snapshot read/);
    await idle.child.end();

    const rounds: Round[] = [];
    for (let round = 0; round < ROUNDS; round++) rounds.push(await readBesideGets(path));
    const { during, after, tookS } = rounds.toSorted((one, other) => one.ratio - other.ratio)[ROUNDS >> 1];
    console.log(
      `${megabytes.toFixed(0)} MiB: written in ${writtenS} s (${(megabytes / writtenS).toFixed(0)} MiB/s), ` +
        `read in ${readS} s (${(megabytes / readS).toFixed(0)} MiB/s); beside ${during.length} GETs in ${tookS} s; ` +
        `their p50 ${quantile(during, 0.5)} ms, p99 ${quantile(during, 0.99)} ms; ` +
        `without p50 ${quantile(after, 0.5)} ms, p99 ${quantile(after, 0.99)} ms; ` +
        `ratios of the p99 ${rounds.map(({ ratio }) => ratio.toFixed(2)).join(', ')}`,
    );
    const median = quantile(during, 0.99) / quantile(after, 0.99);
    if (IS_LONG) expect(median).toBeLessThan(MAX_P99_RATIO);
  },
);
