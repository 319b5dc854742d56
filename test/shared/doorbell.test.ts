import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { Doorbell } from '../../src/shared/doorbell.ts';

const LONG_MS = 30_000;

/** A thread that waits for the bell, and says when it is about to and how long it took. */
const WAITING_THREAD = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData.module).then(({ Doorbell }) => {
    const doorbell = new Doorbell(workerData.buffers);
    const { rings } = doorbell;
    parentPort.postMessage('waiting');
    const startedMs = performance.now();
    doorbell[workerData.how](rings, ${LONG_MS});
    parentPort.postMessage(performance.now() - startedMs);
  });`;

function nextMessage(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

describe('Doorbell', () => {
  test('counts rings and answers', () => {
    const doorbell = new Doorbell();
    const joined = new Doorbell(doorbell.buffers);
    doorbell.ring();
    doorbell.ring();
    joined.answer();
    expect([joined.rings, doorbell.answers]).toStrictEqual([2, 1]);
  });

  test('tells the other thread of a lone client, and no more of it', () => {
    const doorbell = new Doorbell();
    const joined = new Doorbell(doorbell.buffers);
    const told = [false, true, false].map((isLone) => {
      doorbell.isForLoneClient = isLone;
      return joined.isForLoneClient;
    });
    expect(told).toStrictEqual([false, true, false]);
    expect([doorbell.rings, doorbell.answers]).toStrictEqual([0, 0]);
  });

  test('of several sessions of a shard: any of them rings for it, its answers and lone clients are told apart', () => {
    const first = new Doorbell();
    const second = first.forAnotherSession();
    const shard = [first, second].map(({ buffers }) => new Doorbell(buffers));
    const { rings } = shard[0];
    second.ring();
    expect(shard[0].pollForRing(rings, 1)).toBe(true);
    first.ring();
    expect(shard.map((joined) => joined.rings)).toStrictEqual([2, 2]);
    shard[1].answer();
    second.isForLoneClient = true;
    expect([first.answers, second.answers]).toStrictEqual([0, 1]);
    expect(shard.map((joined) => joined.isForLoneClient)).toStrictEqual([false, true]);
  });

  test('who read the count before it rang does not wait', () => {
    const doorbell = new Doorbell();
    const { rings } = doorbell;
    doorbell.ring();
    const startedMs = performance.now();
    doorbell.wait(rings, LONG_MS);
    expect(performance.now() - startedMs).toBeLessThan(LONG_MS / 10);
  });

  test('who is not rung for goes on after the timeout', () => {
    const doorbell = new Doorbell();
    const startedMs = performance.now();
    doorbell.wait(doorbell.rings, 50);
    expect(performance.now() - startedMs).toBeGreaterThan(40);
  });

  test('polling for an answer ends with it, or after its time', () => {
    const doorbell = new Doorbell();
    const { answers } = doorbell;
    expect(doorbell.pollForAnswer(answers, 1)).toBe(false);
    doorbell.ring();
    expect(doorbell.pollForAnswer(answers, 1)).toBe(false);
    doorbell.answer();
    const startedMs = performance.now();
    expect(doorbell.pollForAnswer(answers, LONG_MS)).toBe(true);
    expect(performance.now() - startedMs).toBeLessThan(LONG_MS / 10);
  });

  test('polling for a ring ends with it, or after its time', () => {
    const doorbell = new Doorbell();
    const { rings } = doorbell;
    expect(doorbell.pollForRing(rings, 1)).toBe(false);
    doorbell.answer();
    expect(doorbell.pollForRing(rings, 1)).toBe(false);
    doorbell.ring();
    expect(doorbell.pollForRing(rings, 1)).toBe(true);
  });

  test.each(['wait', 'pollForRing'])("ends another thread's %s", async (how) => {
    const doorbell = new Doorbell();
    const module = new URL('../../src/shared/doorbell.ts', import.meta.url).href;
    const workerData = { buffers: doorbell.buffers, module, how };
    const worker = new Worker(WAITING_THREAD, { eval: true, workerData });
    try {
      expect(await nextMessage(worker)).toBe('waiting');
      const woken = nextMessage(worker);
      doorbell.ring();
      expect(await woken).toBeLessThan(LONG_MS / 10);
    } finally {
      await worker.terminate();
    }
  });
});
