import { expect, test } from 'vitest';
import { ReplyMemory, replyMemoryBytes } from '../../src/shared/reply-memory.ts';
import { Random, printedSeed } from '../support/random.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;

interface Taken {
  readonly place: number;
  readonly bytes: number;
  readonly mark: number;
}

test('is an eighth of the reply window, and at most 8 MiB', () => {
  expect(replyMemoryBytes(3 * MIB)).toBe(384 * KIB);
  expect(replyMemoryBytes(1024 * MIB)).toBe(8 * MIB);
});

test('a place is taken from the front, and again when it was given back', () => {
  const memory = new ReplyMemory(64 * KIB);
  const [first, second] = [memory.take(9 * KIB), memory.take(8 * KIB)];
  expect([first, second]).toEqual([0, 2]);
  memory.giveBack(first);
  expect(memory.take(17 * KIB)).toBe(3);
  expect(memory.take(16 * KIB)).toBe(0);
});

test('what has no room is refused, even where all that is free together would do', () => {
  const memory = new ReplyMemory(32 * KIB + 16);
  expect(memory.take(33 * KIB)).toBe(-1);
  const places = Array.from({ length: 4 }, () => memory.take(1));
  expect(memory.take(1)).toBe(-1);
  memory.giveBack(places[0]);
  memory.giveBack(places[2]);
  expect(memory.take(16 * KIB)).toBe(-1);
  expect(memory.take(8 * KIB)).toBe(0);
});

test('no two replies overlap, whatever is taken and given back, from both ends', () => {
  const random = new Random(printedSeed('reply memory'));
  const shardEnd = new ReplyMemory(MIB);
  const httpEnd = new ReplyMemory(shardEnd.buffer);
  const taken: Taken[] = [];
  const giveBackOne = (): void => {
    const [{ place, bytes, mark }] = taken.splice(random.whole(0, taken.length - 1), 1);
    expect(httpEnd.view(place, bytes).every((byte) => byte === mark)).toBe(true);
    httpEnd.giveBack(place);
  };
  let refused = 0;
  for (let step = 0; step < 3000; step++) {
    const bytes = random.whole(4 * KIB, random.chance(0.1) ? 300 * KIB : 30 * KIB);
    const place = shardEnd.take(bytes);
    if (place < 0) refused++;
    else {
      const mark = step % 256;
      shardEnd.view(place, bytes).fill(mark);
      taken.push({ place, bytes, mark });
    }
    if (place < 0 || random.chance(0.4)) giveBackOne();
  }
  expect(refused).toBeGreaterThan(0);
  while (taken.length > 0) giveBackOne();
  // All of it is free again.
  expect(shardEnd.take(MIB - 16 * KIB)).toBe(0);
});
