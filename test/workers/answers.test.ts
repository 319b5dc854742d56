import { expect, test } from 'vitest';
import { type FromShard, HANDED_OVER_BYTES, encodeGet, encodePut } from '../../src/shared/protocol.ts';
import { ShardThread } from '../support/shard-thread.ts';

test.each([true, false])(
  'a shard raises its count of answers with each (polls: %s)',
  async (pollsForRequests) => {
    const { port, doorbell } = new ShardThread({ pollsForRequests }).first;
    doorbell.isForLoneClient = true;
    const messages: FromShard[] = [];
    port.on('message', (message: FromShard) => messages.push(message));
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
      port.postMessage(message);
      doorbell.ring();
      await expect
        .poll(() => [messages.length, doorbell.answers], { interval: 1 })
        .toStrictEqual([n + 2, n + 1]);
    }
    expect(messages.at(-2)).toMatchObject({ kind: 'hit' });
  },
);
