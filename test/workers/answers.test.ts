import { MessageChannel, Worker } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { Ledger } from '../../src/shared/ledger.ts';
import { Doorbell } from '../../src/shared/doorbell.ts';
import {
  type FromShard,
  HANDED_OVER_BYTES,
  type ShardStart,
  encodeGet,
  encodePut,
} from '../../src/shared/protocol.ts';

const MIB = 2 ** 20;

test.each([true, false])(
  'a shard raises its count of answers with each (polls: %s)',
  async (pollsForRequests) => {
    const doorbell = new Doorbell();
    doorbell.isForLoneClient = true;
    const ledger = Ledger.create(1, { ceiling: 64 * MIB, guarantee: 8 * MIB, unit: 1024 });
    const start: ShardStart = {
      shard: 0,
      ledger: ledger.buffer,
      ledgerUnitBytes: 1024,
      entryLedger: undefined,
      seed: [1, 2],
      doorbell: doorbell.buffers,
      pollsForRequests,
      gzipThresholdBytes: 0,
      replyCells: new SharedArrayBuffer(4),
      replyWindowBytes: MIB,
      deadlineMs: 1000,
      checksIntegrity: false,
    };
    const { port1, port2 } = new MessageChannel();
    const module = new URL('../../workers/shard-worker.ts', import.meta.url).href;
    const worker = new Worker(
      `const { module, ...task } = require('node:worker_threads').workerData;
     import(module).then((shard) => shard.default(task));`,
      { eval: true, workerData: { module, port: port2, start }, transferList: [port2] },
    );
    onTestFinished(async () => {
      port1.close();
      await worker.terminate();
    });
    const messages: FromShard[] = [];
    port1.on('message', (message: FromShard) => messages.push(message));
    await expect.poll(() => messages.length, { interval: 1 }).toBe(1);
    expect([messages[0], doorbell.answers]).toStrictEqual([{ kind: 'ready' }, 0]);

    const asked = [
      encodePut('short', 'value', 0),
      { kind: 'put', key: 'long', value: new ArrayBuffer(HANDED_OVER_BYTES), ttlMs: 0 },
      ...Array.from({ length: 20 }, () => encodeGet('short', false)),
      encodeGet('long', false),
      { kind: 'ping', id: 1 },
    ];
    for (const [n, message] of asked.entries()) {
      port1.postMessage(message);
      doorbell.ring();
      await expect
        .poll(() => [messages.length, doorbell.answers], { interval: 1 })
        .toStrictEqual([n + 2, n + 1]);
    }
    expect(messages.at(-2)).toMatchObject({ kind: 'hit' });
  },
);
