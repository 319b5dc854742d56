import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { HttpPipe } from '../support/http-pipe.ts';
import { IS_LONG } from '../support/long.ts';
import { MemoryGroup } from './memory-group.ts';
import type { PutterOptions, PutterReport } from './putter.ts';
import { ServerInGroup } from './server-in-group.ts';

const PUTTER = fileURLToPath(new URL('putter.ts', import.meta.url));
const KIB = 2 ** 10;
const MIB = 2 ** 20;
const LIMIT_BYTES = 256 * MIB;
const MOST_SHARE = 0.9;
const LARGE_BYTES = 16 * MIB;
const SMALL_BYTES = 64 * KIB;
const TOTAL_BYTES = (IS_LONG ? 2048 : 512) * MIB;
const ROUNDS = IS_LONG ? 4 : 2;
const WRITERS = 4;
const READERS = 4;
const PAUSE_MS = 1;
/** Beside PUTs of large values, against PUTs of small ones. The short form has few GETs, and so a p99 that varies. */
const MOST_RATIO = IS_LONG ? 2 : 3;

async function putAll(options: PutterOptions): Promise<PutterReport> {
  const child = fork(PUTTER, [JSON.stringify(options)], { execPath: process.execPath });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [report] = (await once(child, 'message')) as [PutterReport];
  return report;
}

/** Reads small entries until it is stopped, and takes the time of each. */
class Readers {
  readonly tookMs: number[] = [];
  readonly statuses: Record<number, number> = {};
  private isOver = false;
  private readonly done: Promise<unknown>;

  constructor(pipes: readonly HttpPipe[]) {
    this.done = Promise.all(pipes.map((pipe, n) => this.read(pipe, n)));
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await this.done;
  }

  private async read(pipe: HttpPipe, n: number): Promise<void> {
    while (!this.isOver) {
      const startedMs = performance.now();
      const { status } = await pipe.get(`/cache/small-${n}`);
      this.tookMs.push(performance.now() - startedMs);
      this.statuses[status] = (this.statuses[status] ?? 0) + 1;
      await delay(PAUSE_MS);
    }
  }
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

const made = MemoryGroup.create(`kvc-large-${process.pid}`, LIMIT_BYTES);
const missing = typeof made === 'string' ? made : undefined;

test.skipIf(missing !== undefined)(
  `PUTs of 16 MiB in a container of 256 MiB hold up nobody${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  { timeout: 600_000 },
  async () => {
    const group = made as MemoryGroup;
    onTestFinished(() => group.remove());
    const server = await ServerInGroup.start(group, {});
    let exit: number | string | undefined;
    onTestFinished(async () => {
      exit ??= await server.stop();
    });
    const { port } = server;
    const pipes = await Promise.all(Array.from({ length: READERS }, () => HttpPipe.open(port)));
    for (const [n, pipe] of pipes.entries()) await pipe.put(`small-${n}`, 'v'.repeat(100));

    const tookMs: Record<number, number[]> = { [SMALL_BYTES]: [], [LARGE_BYTES]: [] };
    const writes: Record<string, number> = {};
    for (let round = 0; round < ROUNDS; round++) {
      for (const valueBytes of [SMALL_BYTES, LARGE_BYTES]) {
        const readers = new Readers(pipes);
        const options = { port, connections: WRITERS, valueBytes, totalBytes: TOTAL_BYTES / ROUNDS };
        const report = await putAll(options);
        await readers.stop();
        tookMs[valueBytes].push(...readers.tookMs);
        for (const [status, n] of Object.entries(report.statuses)) writes[status] = (writes[status] ?? 0) + n;
        expect(readers.statuses).toStrictEqual({ 200: readers.tookMs.length });
        console.log(
          `${valueBytes / KIB} KiB: ${JSON.stringify(report.statuses)} in ${Math.round(report.tookMs)} ms; ` +
            `GETs ${readers.tookMs.length}, p50 ${percentile(readers.tookMs, 0.5).toFixed(2)}, ` +
            `p99 ${percentile(readers.tookMs, 0.99).toFixed(2)}, most ${Math.max(...readers.tookMs).toFixed(1)} ms`,
        );
      }
    }
    for (const pipe of pipes) pipe.close();
    exit = await server.stop();
    console.log(`peak ${Math.round(server.peakUnreclaimableBytes / MIB)} MiB charged`);
    expect(exit).toBe(0);
    expect(group.counters().oomKills).toBe(0);
    expect(Object.keys(writes).filter((status) => !/^(?:20[14]|413 |503 )/.test(status))).toStrictEqual([]);
    expect(writes['201']).toBeGreaterThan(0);
    expect(server.peakUnreclaimableBytes).toBeLessThan(LIMIT_BYTES * MOST_SHARE);
    const [small, large] = [SMALL_BYTES, LARGE_BYTES].map((bytes) => percentile(tookMs[bytes], 0.99));
    expect(large).toBeLessThan(small * MOST_RATIO);
  },
);
