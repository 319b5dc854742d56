import { expect, test } from 'vitest';
import { ReplyWindow } from '../../workers/reply-window.ts';

/** The windows of some shards, each with room for ten characters. */
function createWindows(shards: number) {
  const clock = { ms: 0 };
  const cells = new Int32Array(shards);
  const windows = Array.from(
    { length: shards },
    (_, shard) => new ReplyWindow({ shard, cells, characters: 10, deadlineMs: 1000, nowMs: () => clock.ms }),
  );
  return { windows, clock };
}

test('replies go until a shard’s share is used; the last may be larger', () => {
  const [window] = createWindows(1).windows;
  window.add(9);
  expect(window.hasRoom).toBe(true);
  window.add(9);
  expect(window.hasRoom).toBe(false);
  window.remove(9);
  expect(window.hasRoom).toBe(true);
});

test('what is larger than all shares together goes once in all, not once from each shard', () => {
  const { windows, clock } = createWindows(3);
  windows[0].add(50);
  expect(windows.map(({ hasRoom }) => hasRoom)).toStrictEqual([false, false, false]);
  windows[0].remove(50);
  // Whoever had it leaves the next one to the others.
  expect(windows.map(({ hasRoom }) => hasRoom)).toStrictEqual([false, true, true]);
  windows[1].add(50);
  expect(windows[2].hasRoom).toBe(false);
  windows[1].remove(50);
  clock.ms += 25;
  expect(windows.map(({ hasRoom }) => hasRoom)).toStrictEqual([true, true, true]);
});

test('what is only larger than a shard’s share goes until all shares are used', () => {
  const { windows } = createWindows(3);
  windows[0].add(20);
  expect(windows.map(({ hasRoom }) => hasRoom)).toStrictEqual([false, true, true]);
  windows[1].add(20);
  expect(windows[2].hasRoom).toBe(false);
  windows[0].remove(20);
  expect(windows.map(({ hasRoom }) => hasRoom)).toStrictEqual([true, false, true]);
});

test('one shard’s small replies leave the others their shares', () => {
  const { windows } = createWindows(3);
  for (let i = 0; i < 10; i++) windows[0].add(1);
  expect(windows.map(({ hasRoom }) => hasRoom)).toStrictEqual([false, true, true]);
  windows[0].remove(1);
  expect(windows[0].hasRoom).toBe(true);
});

test('who waits is answered in turn, until the deadline', () => {
  const { windows, clock } = createWindows(1);
  const [window] = windows;
  window.add(10);
  for (const ticket of [1, 2]) window.defer({ ticket, key: 'k', acceptsGzip: false });
  expect(window.isWaiting).toBe(true);
  expect(window.next()).toBeUndefined();
  window.remove(1);
  expect(window.next()).toMatchObject({ ticket: 1 });
  clock.ms += 1001;
  expect(window.next()).toBeUndefined();
  expect(window.isWaiting).toBe(false);
});
