import { expect, test } from 'vitest';
import { ChildServer } from '../support/child-server.ts';
import { HttpClient } from '../support/http-client.ts';
import { HttpPipe, type PipeReply } from '../support/http-pipe.ts';
import { IS_LONG } from '../support/long.ts';

const CONNECTIONS = 4;
const AHEAD = 64;

test.each([
  { shards: 1, keys: IS_LONG ? 100_000 : 2000 },
  { shards: 2, keys: IS_LONG ? 100_000 : 10_000 },
  { shards: 4, keys: IS_LONG ? 100_000 : 2000 },
])(
  '$keys keys put, then as many sequential gets: no miss, with $shards shard(s)',
  async ({ shards, keys }) => {
    const { port } = await ChildServer.listening({ env: { SHARDS: String(shards) } });
    const pipes = await Promise.all(Array.from({ length: CONNECTIONS }, () => HttpPipe.open(port)));
    const startedMs = performance.now();

    const stored = await inOrder(pipes, keys, (pipe, i) => pipe.put(`key-${i}`, `value-${i}`));
    const notStored = stored.filter(({ status }) => status !== 201);
    const putMs = performance.now() - startedMs;
    const read = await inOrder(pipes, keys, (pipe, i) => pipe.get(`/cache/key-${i}`));
    const missed = read.filter(
      ({ status, body }, i) =>
        status !== 200 || body !== `{"status":"OK","key":"key-${i}","value":"value-${i}"}`,
    );
    const getMs = performance.now() - startedMs - putMs;
    console.log(`${shards} shard(s): puts ${Math.round(putMs)} ms, gets ${Math.round(getMs)} ms`);

    expect(notStored).toHaveLength(0);
    expect(missed).toHaveLength(0);
    const client = new HttpClient(port);
    expect((await client.stats()).totals).toMatchObject({
      entries: keys,
      hits: keys,
      misses: 0,
      evicted: 0,
      shedEntries: 0,
      busyRejections: 0,
    });
    client.close();
    for (const pipe of pipes) pipe.close();
  },
);

/** Sends request after request in their order, over all connections in turn, some ahead of their answers. */
async function inOrder(
  pipes: readonly HttpPipe[],
  count: number,
  send: (pipe: HttpPipe, i: number) => Promise<PipeReply>,
): Promise<PipeReply[]> {
  const window = CONNECTIONS * AHEAD;
  const replies: PipeReply[] = [];
  const waiting: Promise<PipeReply>[] = [];
  for (let i = 0; i < count; i++) {
    if (i >= window) replies.push(await waiting[i - window]);
    waiting.push(send(pipes[i % pipes.length], i));
  }
  for (let i = Math.max(0, count - window); i < count; i++) replies.push(await waiting[i]);
  return replies;
}
