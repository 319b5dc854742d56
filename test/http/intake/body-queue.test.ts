import { describe, expect, test } from 'vitest';
import { BodyQueue } from '../../../src/http/intake/body-queue.ts';

const TOTAL_BYTES = 100;

/** A queue before a room of 100 bytes. */
class Room {
  readonly queue: BodyQueue;
  private usedBytes = 0;

  constructor(maxWaiters = Infinity) {
    const hasRoomFor = (bytes: number): boolean => this.usedBytes + bytes <= TOTAL_BYTES;
    this.queue = new BodyQueue({ hasRoomFor, deadlineMs: 1000, maxWaiters, nowMs: () => 0 });
  }

  acquire(bytes: number, mayWait: boolean, decide: (isGranted: boolean) => void): void {
    this.queue.enter(bytes, mayWait, (isGranted) => {
      if (isGranted) this.usedBytes += bytes;
      decide(isGranted);
    });
  }

  release(bytes: number): void {
    this.usedBytes -= bytes;
    this.queue.serve();
  }
}

describe('BodyQueue', () => {
  test('grants what there is room for, and the rest in turn as it is released', () => {
    const room = new Room();
    const granted: string[] = [];
    room.acquire(60, true, (isGranted) => isGranted && granted.push('a'));
    room.acquire(50, true, (isGranted) => isGranted && granted.push('b'));
    // There would be room for it, but it is not its turn.
    room.acquire(10, true, (isGranted) => isGranted && granted.push('c'));
    expect(granted).toStrictEqual(['a']);
    room.release(60);
    expect(granted).toStrictEqual(['a', 'b', 'c']);
  });

  test('refuses at once who may not wait, and whoever comes when enough wait', () => {
    const room = new Room(1);
    const decisions: string[] = [];
    const decide = (name: string) => (isGranted: boolean) => void decisions.push(`${name} ${isGranted}`);
    room.acquire(100, true, decide('first'));
    room.acquire(1, false, decide('hurried'));
    room.acquire(1, true, decide('waiting'));
    room.acquire(1, true, decide('late'));
    expect(decisions).toStrictEqual(['first true', 'hurried false', 'late false']);
  });

  test('refuses who has waited past the deadline', () => {
    const room = new Room();
    const decisions: boolean[] = [];
    room.acquire(100, true, () => undefined);
    room.acquire(1, true, (isGranted) => void decisions.push(isGranted));
    room.queue.sweep(999);
    expect(decisions).toStrictEqual([]);
    room.queue.sweep(1000);
    expect(decisions).toStrictEqual([false]);
    expect(room.queue.hasWaiters).toBe(false);
  });

  test('any number may release at once what they are granted', () => {
    const room = new Room();
    // Many more than calls fit on the stack. V8 may take a time that grows with the square of this number.
    const most = 20_000;
    let granted = 0;
    room.acquire(100, true, () => undefined);
    for (let i = 0; i < most; i++) {
      room.acquire(100, true, () => {
        granted++;
        room.release(100);
      });
    }
    room.release(100);
    expect(granted).toBe(most);
  });
});
