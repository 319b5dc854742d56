import { expect, test } from 'vitest';
import { HIT, MISS, RAW_HIT, STORED, encodeGet, encodePut } from '../../src/shared/protocol.ts';
import { decodeHead } from '../../src/shared/raw-entries.ts';
import type { ReplyPayload } from '../../src/shared/reply-memory.ts';
import type { Mailbox } from '../../src/shards/mailbox.ts';
import { Random, printedSeed } from '../support/random.ts';
import { rawGet, rawPut } from '../support/raw.ts';
import { ShardThread, ask, createMailbox } from '../support/shard-thread.ts';

const MIB = 2 ** 20;
/** Of which a session's memory for replies is an eighth. */
const WINDOW = 8 * MIB;

interface Reply {
  readonly code: number;
  readonly payload: ReplyPayload;
  readonly delivered: (() => void) | undefined;
  readonly head: string | undefined;
}

/** The one who asks says when the payload has been delivered. */
function get(mailbox: Mailbox, request: string): Promise<Reply> {
  return new Promise((resolve) => {
    mailbox.send(request, {
      connection: undefined,
      settle: (code, payload, delivered, head) => resolve({ code, payload, delivered, head }),
    });
  });
}

function isPlaced({ payload }: Reply): boolean {
  return typeof payload !== 'string' && payload.buffer instanceof SharedArrayBuffer;
}

function textOf({ payload }: Reply): string {
  return typeof payload === 'string' ? payload : Buffer.from(payload).toString('latin1');
}

/** No two values are the same anywhere. */
function valueOf(index: number): string {
  return String.fromCharCode(0x30 + index).repeat(4096 + index * 3000);
}

async function createLoaded(): Promise<{ shard: ShardThread; mailbox: Mailbox }> {
  const shard = new ShardThread({ replyWindowBytes: WINDOW });
  const mailbox = createMailbox(shard.first);
  for (let i = 0; i < 40; i++) await ask(mailbox, rawPut(`raw${i}`, valueOf(i)));
  for (let i = 0; i < 40; i++) {
    expect((await ask(mailbox, encodePut(`json${i}`, valueOf(i), 0))).code).toBe(STORED);
    // From the first read on the shard knows that nothing in it is escaped.
    await ask(mailbox, encodeGet(`json${i}`, false));
  }
  return { shard, mailbox };
}

test('replies stay as they are until they are delivered, and keep their order; then all room comes back', async () => {
  const random = new Random(printedSeed('placed replies'));
  const { shard, mailbox } = await createLoaded();
  const held: { reply: Reply; expected: string }[] = [];
  let placed = 0;
  let others = 0;
  const deliverOne = (): void => {
    const [{ reply, expected }] = held.splice(random.whole(0, held.length - 1), 1);
    expect(textOf(reply) === expected, `${expected.slice(0, 40)}…`).toBe(true);
    reply.delivered?.();
  };
  for (let round = 0; round < 60; round++) {
    const asked = Array.from({ length: 8 }, () => {
      const index = random.whole(0, 39);
      if (random.chance(0.2)) return { reply: get(mailbox, rawGet('absent')), expected: '' };
      if (random.chance(0.5)) return { reply: get(mailbox, rawGet(`raw${index}`)), expected: valueOf(index) };
      const expected = `{"status":"OK","key":"json${index}","value":"${valueOf(index)}"}`;
      return { reply: get(mailbox, encodeGet(`json${index}`, false)), expected };
    });
    for (const each of asked) {
      const reply = await each.reply;
      expect(reply.code).toBe(each.expected === '' ? MISS : each.expected.startsWith('{') ? HIT : RAW_HIT);
      if (reply.code === RAW_HIT) expect(decodeHead(reply.head!).valueBytes).toBe(each.expected.length);
      if (isPlaced(reply)) placed++;
      else others++;
      held.push({ reply, expected: each.expected });
    }
    while (held.length > 30) deliverOne();
  }
  while (held.length > 0) deliverOne();
  expect(placed).toBeGreaterThan(100);
  // The memory was full now and then, and misses need none.
  expect(others).toBeGreaterThan(20);
  await expect.poll(() => shard.replyCells[0]).toBe(0);
});

test('of two sessions, the memory that one does not give back is missing only there', async () => {
  const { shard, mailbox } = await createLoaded();
  const second = createMailbox(shard.connect(shard.first));
  const held: Reply[] = [];
  do held.push(await get(mailbox, rawGet('raw39')));
  while (isPlaced(held.at(-1)!));
  expect(held.length).toBeGreaterThan(5);
  expect(isPlaced(await get(second, rawGet('raw39')))).toBe(true);

  held[0].delivered!();
  expect(isPlaced(await get(mailbox, rawGet('raw39')))).toBe(true);
  // What the closed session had taken of the window comes back.
  mailbox.close();
  await expect.poll(() => shard.replyCells[0]).toBeLessThan(2 ** 18);
});
