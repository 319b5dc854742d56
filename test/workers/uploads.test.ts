import { expect, test } from 'vitest';
import { GO_ON } from '../../src/shared/large-values.ts';
import {
  BUSY,
  CREATED,
  HIT,
  LARGE_HIT,
  PRECONDITION_FAILED,
  STORED,
  TOO_LARGE,
  decodeU32,
  encodeGet,
  encodePut,
} from '../../src/shared/protocol.ts';
import { encodePutOptions } from '../../src/shared/raw-entries.ts';
import { BLOCK_BYTES } from '../../src/shared/segment-sizes.ts';
import { PLAIN_OPTIONS, rawGet } from '../support/raw.ts';
import { MIB } from '../support/segments.ts';
import { createActor } from '../support/test-actor.ts';

const OPTIONS = encodePutOptions(PLAIN_OPTIONS);

/** The largest value that is stored in a block of its own. */
const LARGEST = 'v'.repeat(4 * MIB);

function createFull(ceilingMib: number) {
  const subject = createActor(MIB, new Int32Array(1), {
    ceilingBytes: ceilingMib * MIB,
    mostValueBytes: LARGEST.length,
  });
  for (let i = 0; subject.store.counters.evicted === 0; i++)
    subject.ask(encodePut(`key-${i}`, 'v'.repeat(100), 0));
  const codes = (): number[] =>
    subject.largeReplies.splice(0).map((reply) => (reply.kind === 'upload' ? reply.code : 0));
  const begin = (upload: number, bytes: number): number[] => {
    subject.handle({ kind: 'upload', upload, bytes });
    return codes();
  };
  const send = (upload: number): ArrayBuffer => {
    const buffer = new Uint8Array(BLOCK_BYTES).fill(upload).buffer;
    subject.handle({ kind: 'piece', upload, buffer, bytes: BLOCK_BYTES });
    return buffer;
  };
  /** Runs slices until there are none. @returns how many. */
  const runSlices = (): number => {
    let slices = 0;
    for (let task = subject.deferred.shift(); task; task = subject.deferred.shift()) {
      task();
      slices++;
    }
    return slices;
  };
  return { ...subject, codes, begin, send, runSlices };
}

test('a piece is taken in slices, between which requests are answered; then more is asked for', () => {
  const { ask, begin, send, codes, deferred, actor, handle, ledger, store } = createFull(16);
  expect(begin(1, 3 * BLOCK_BYTES)).toEqual([GO_ON]);
  for (let i = 0; i < 3; i++) {
    send(1);
    let slices = 0;
    for (let task = deferred.shift(); task; task = deferred.shift()) {
      expect(actor.needsTurns).toBe(true);
      expect(codes()).toEqual([]);
      const [stored, hit] = ask(encodePut('new', 'value', 0), encodeGet('new', false));
      expect([stored.code, hit.code]).toEqual([STORED, HIT]);
      task();
      slices++;
    }
    expect(slices).toBeGreaterThan(20);
    expect([actor.needsTurns, codes()]).toEqual([false, [GO_ON]]);
    expect(ledger.totalHeld()).toBeLessThanOrEqual(ledger.ceiling);
  }
  handle({ kind: 'commit', upload: 1, key: 'large', options: OPTIONS });
  expect(codes()).toEqual([CREATED]);
  expect(ask(rawGet('large'))[0]).toMatchObject({ code: LARGE_HIT, head: { valueBytes: 3 * BLOCK_BYTES } });
  store.checkIntegrity();
});

test('an upload that is given up while a piece waits for its room leaves nothing', () => {
  const { begin, send, codes, handle, runSlices, store, actor, session } = createFull(16);
  begin(1, 3 * BLOCK_BYTES);
  begin(2, 3 * BLOCK_BYTES);
  const [first, second] = [send(1), send(2)];
  handle({ kind: 'abort', upload: 2 });
  handle({ kind: 'abort', upload: 2 });
  expect([first.detached, second.detached]).toEqual([false, true]);
  runSlices();
  expect(codes()).toEqual([GO_ON]);
  send(1);
  actor.forget(session);
  expect(actor.needsTurns).toBe(false);
  runSlices();
  expect(codes()).toEqual([]);
  while (store.maintain(2 ** 15));
  expect(first.detached).toBe(true);
  store.checkIntegrity();
  const late = send(1);
  handle({ kind: 'commit', upload: 1, key: 'large', options: OPTIONS });
  expect([late.detached, codes()]).toEqual([true, []]);
});

test('an upload is refused before it displaces anything, where there cannot be room', () => {
  const { begin, store } = createFull(16);
  const { evicted } = store.counters;
  expect(begin(1, 17 * MIB)).toEqual([TOO_LARGE]);
  expect(begin(2, 8 * MIB)).toEqual([GO_ON]);
  expect(begin(3, 8 * MIB)).toEqual([BUSY]);
  expect(store.counters.evicted).toBe(evicted);
});

test('an upload whose memory went to small entries, which had nothing else to displace, is refused', () => {
  const { ask, begin, send, codes, runSlices, store, handle } = createFull(16);
  begin(1, 0);
  let reply = GO_ON;
  while (reply === GO_ON) {
    send(1);
    runSlices();
    [reply] = codes();
  }
  expect([reply, store.entries]).toEqual([TOO_LARGE, expect.any(Number)]);
  for (const upload of [2, 3]) {
    begin(upload, 0);
    for (let i = 0; i < 11; i++) {
      send(upload);
      runSlices();
    }
    expect(codes()).toEqual(Array.from({ length: 11 }, () => GO_ON));
    expect(ask(encodePut('largest', LARGEST, 0))[0].code).toBe(STORED);
    if (upload === 2) send(upload);
    else handle({ kind: 'commit', upload, key: 'large', options: OPTIONS });
    runSlices();
    expect(codes()).toEqual([BUSY]);
    store.delete('largest');
  }
  store.checkIntegrity();
});

test('a condition that is not met at the commit stores nothing', () => {
  const { ask, begin, send, codes, runSlices, handle, store } = createFull(16);
  begin(1, BLOCK_BYTES);
  send(1);
  runSlices();
  codes();
  ask(encodePut('a', 'there', 0));
  const options = encodePutOptions({ ...PLAIN_OPTIONS, conditions: { ifNoneMatch: '*' } });
  handle({ kind: 'commit', upload: 1, key: 'a', options });
  expect(codes()).toEqual([PRECONDITION_FAILED]);
  expect(store.get('a')).toBe('there');
  store.checkIntegrity();
});

test('a read whose memory was needed is cut off, and told so', () => {
  const { ask, begin, send, runSlices, handle, largeReplies, store } = createFull(16);
  begin(1, 0);
  for (let i = 0; i < 11; i++) {
    send(1);
    runSlices();
  }
  handle({ kind: 'commit', upload: 1, key: 'a', options: OPTIONS });
  const read = decodeU32(ask(rawGet('a'))[0].body as string, 0);
  largeReplies.length = 0;
  handle({ kind: 'more', read });
  expect(largeReplies.splice(0)).toMatchObject([{ kind: 'piece', read, bytes: { length: 2 ** 18 } }]);
  ask(encodePut('a', 'anew', 0));
  handle({ kind: 'more', read });
  expect(largeReplies.splice(0)).toMatchObject([{ kind: 'piece', read, bytes: { length: 2 ** 18 } }]);
  expect(ask(encodePut('largest', LARGEST, 0))[0].code).toBe(STORED);
  handle({ kind: 'more', read });
  expect(largeReplies.splice(0)).toMatchObject([{ kind: 'piece', read, bytes: undefined }]);
  handle({ kind: 'more', read });
  expect(largeReplies).toEqual([]);
  store.checkIntegrity();
});
