import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { Doorbell } from '../../src/mailbox/doorbell.ts';

const LONG_MS = 30_000;

/** A thread that waits for the bell of shard 1, and says when it is about to and how long it took. */
const WAITING_THREAD = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData.module).then(({ Doorbell }) => {
    const doorbell = new Doorbell(workerData.buffer);
    const rings = doorbell.rings(1);
    parentPort.postMessage('waiting');
    const startedMs = performance.now();
    doorbell.wait(1, rings, ${LONG_MS}, workerData.pollMs);
    parentPort.postMessage(performance.now() - startedMs);
  });`;

function nextMessage(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

describe('Doorbell', () => {
  test('counts the rings of each shard', () => {
    const doorbell = Doorbell.create(2);
    const joined = new Doorbell(doorbell.buffer);
    doorbell.ring(1);
    doorbell.ring(1);
    expect([joined.rings(0), joined.rings(1)]).toStrictEqual([0, 2]);
  });

  test('who read the count before it rang does not wait', () => {
    const doorbell = Doorbell.create(1);
    const rings = doorbell.rings(0);
    doorbell.ring(0);
    const startedMs = performance.now();
    doorbell.wait(0, rings, LONG_MS, 0);
    expect(performance.now() - startedMs).toBeLessThan(LONG_MS / 10);
  });

  test('who is not rung for goes on after the timeout, and polls only while it is turned to', () => {
    const doorbell = Doorbell.create(2);
    const startedMs = performance.now();
    doorbell.turnTo(0);
    doorbell.wait(1, doorbell.rings(1), 1, LONG_MS);
    expect(performance.now() - startedMs).toBeLessThan(LONG_MS / 10);
  });

  test.each([0, LONG_MS])('wakes a thread that waits, polling for %d ms', async (pollMs) => {
    const doorbell = Doorbell.create(2);
    doorbell.turnTo(1);
    const module = new URL('../../src/mailbox/doorbell.ts', import.meta.url).href;
    const workerData = { buffer: doorbell.buffer, module, pollMs };
    const worker = new Worker(WAITING_THREAD, { eval: true, workerData });
    try {
      expect(await nextMessage(worker)).toBe('waiting');
      const woken = nextMessage(worker);
      doorbell.ring(0);
      doorbell.ring(1);
      expect(await woken).toBeLessThan(LONG_MS / 10);
    } finally {
      await worker.terminate();
    }
  });
});
