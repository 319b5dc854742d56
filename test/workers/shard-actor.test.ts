import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  BUSY,
  CLEARED,
  DELETED,
  HIT,
  MISS,
  STORED,
  TOO_LARGE,
  WAITING,
  bytesOf,
  encodeClear,
  encodeDelete,
  encodeGet,
  encodePut,
} from '../../src/shared/protocol.ts';
import { MIB } from '../support/segments.ts';
import { createActor, valueIn } from '../support/test-actor.ts';

const LONG = 'compressible '.repeat(10_000);

describe('a batch', () => {
  test('is answered in the order of its requests', () => {
    const { ask } = createActor();
    const replies = ask(
      encodeGet('a', false),
      encodePut('a', 'x"\n\u0000', 0),
      encodeGet('a', false),
      encodePut('b', '', 5000),
      encodeDelete('b'),
      encodeDelete('b'),
      encodePut('big', 'x'.repeat(MIB + 4096), 0),
      encodeClear(),
      encodeGet('a', false),
    );
    expect(replies.map(({ code }) => code)).toEqual([
      MISS,
      STORED,
      HIT,
      STORED,
      DELETED,
      MISS,
      TOO_LARGE,
      CLEARED,
      MISS,
    ]);
    expect(JSON.parse(replies[2].body as string)).toEqual({ status: 'OK', key: 'a', value: 'x"\n\u0000' });
    expect(replies[7].body).toBe(1);
  });

  test('of many long answers is answered in parts, the first before the last is made', () => {
    const { ask, events } = createActor();
    ask(encodePut('a', 'v'.repeat(1000), 0));
    events.length = 0;
    const replies = ask(...Array.from({ length: 200 }, () => encodeGet('a', false)));
    expect(replies.every(({ code }) => code === HIT)).toBe(true);
    // 200 KB, in parts of 64 KiB.
    expect(events).toStrictEqual(['replies', 'replies', 'replies', 'replies']);
  });

  test('carries a ttl to the store', () => {
    const { ask, clock } = createActor();
    const tenYearsMs = 315_360_000_000;
    ask(encodePut('a', 'v', 1500), encodePut('b', 'v', tenYearsMs));
    clock.ms += 1500;
    expect(ask(encodeGet('a', false), encodeGet('b', false)).map(({ code }) => code)).toEqual([MISS, HIT]);
    clock.ms += tenYearsMs - 1500;
    expect(ask(encodeGet('b', false))[0].code).toBe(MISS);
  });
});

describe('what is large is handed over', () => {
  const value = `"${LONG}\n`;

  test('a PUT leaves nothing of its buffer behind', () => {
    const { handle, ask, store } = createActor();
    const bytes = bytesOf(value).buffer;
    handle({ kind: 'put', key: 'a', value: bytes, ttlMs: 0 });
    expect(bytes.detached).toBe(true);
    expect(store.get('a') === value).toBe(true);
    const [stored, hit] = ask(encodeGet('a', false));
    expect(stored.code).toBe(STORED);
    expect(valueIn(hit.body as string) === value).toBe(true);
  });

  test('a GET keeps its place among short ones', () => {
    const { ask } = createActor();
    ask(encodePut('large', value, 0), encodePut('short', 's', 0));
    const gets = ['short', 'large', 'none', 'large', 'short'].map((key) => encodeGet(key, false));
    const replies = ask(...gets);
    expect(replies.map(({ code }) => code)).toEqual([HIT, HIT, MISS, HIT, HIT]);
    expect(
      [0, 1, 3, 4]
        .map((i) => valueIn(replies[i].body as string))
        .every((got, i) => (i === 0 || i === 3 ? got === 's' : got === value)),
    ).toBe(true);
  });
});

describe('a read that finds the reply window full', () => {
  const value = 'x'.repeat(20_000);

  function fill() {
    const subject = createActor(10_000);
    subject.ask(encodePut('a', value, 0), encodePut('b', value, 0));
    const [first, second, small] = subject.ask(
      encodeGet('a', false),
      encodeGet('b', false),
      encodeGet('none', false),
    );
    expect([first.code, second.code, small.code]).toEqual([HIT, WAITING, MISS]);
    return { ...subject, ticket: second.body, bytes: (first.body as string).length };
  }

  test('waits for those before it, and counts itself then', async () => {
    const { handle, ask, nextLate, ticket, bytes } = fill();
    const late = nextLate();
    handle({ kind: 'delivered', bytes });
    const { payload, ...rest } = await late;
    expect(rest).toMatchObject({ ticket, code: HIT });
    expect(valueIn(payload)).toBe(value);
    expect(ask(encodeGet('a', false))[0].code).toBe(WAITING);
    const again = nextLate();
    handle({ kind: 'delivered', bytes: payload.length });
    expect((await again).code).toBe(HIT);
  });

  test.each([
    ['put', encodePut('b', 'anew', 0)],
    ['deleted', encodeDelete('b')],
    ['cleared', encodeClear()],
  ])('is refused when its entry is %s before its turn, and is told nothing newer', async (_what, request) => {
    const { handle, ask, controls, nextLate, ticket, bytes } = fill();
    const late = nextLate();
    ask(request);
    expect(await late).toMatchObject({ ticket, code: BUSY });
    handle({ kind: 'delivered', bytes });
    expect(controls).toEqual([]);
  });

  test('is told its ticket before it is refused, in one batch, too', async () => {
    const { ask, nextLate, events } = fill();
    events.length = 0;
    const lates = [nextLate(), nextLate()];
    ask(encodeGet('b', false), encodeDelete('b'));
    await Promise.all(lates);
    expect(events).toEqual(['replies', 'late', 'late', 'replies']);
  });
});

test('a reply that was made while another shard took the room is not kept, and waits', () => {
  const cells = new Int32Array(2);
  const { ask, store } = createActor(10_000, cells);
  ask(encodePut('a', 'x'.repeat(20_000), 0));
  const valueView = store.valueView.bind(store);
  store.valueView = (slot) => {
    cells[1] = 20_000;
    return valueView(slot);
  };
  const transfer = vi.spyOn(ArrayBuffer.prototype, 'transfer');
  onTestFinished(() => transfer.mockRestore());
  expect(ask(encodeGet('a', false))[0].code).toBe(WAITING);
  expect(transfer.mock.calls).toStrictEqual([[0]]);
  expect(transfer.mock.contexts).toMatchObject([{ detached: true }]);
});

test('a shed order is carried out in slices, between which requests are answered', () => {
  const { handle, ask, controls, deferred, store } = createActor();
  for (let i = 0; i < 2000; i++) ask(encodePut(`key-${i}`, 'v'.repeat(1000), 0));
  handle({ kind: 'shed', id: 7, shedBytes: 500_000 });
  expect(controls).toEqual([]);
  let slices = 0;
  for (let task = deferred.shift(); task; task = deferred.shift()) {
    expect(ask(encodeGet('key-1999', false))[0].code).toBe(HIT);
    task();
    slices++;
  }
  expect(slices).toBeGreaterThan(3);
  expect(controls).toMatchObject([{ kind: 'shed', id: 7, result: { shedEntries: store.counters.shed } }]);
  expect(ask(encodeGet('key-0', false))[0].code).toBe(MISS);
  handle({ kind: 'stats', id: 8 });
  expect(controls[1]).toMatchObject({ kind: 'stats', id: 8, stats: { shedOrders: 1, puts: 2000 } });
});
