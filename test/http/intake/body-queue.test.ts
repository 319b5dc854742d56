import { describe, expect, test } from 'vitest';
import { ByteBudget } from '../../../src/http/intake/body-queue.ts';

function createBudget(mostWaiters = Infinity): { budget: ByteBudget; pass: (ms: number) => void } {
  let nowMs = 0;
  const budget = new ByteBudget({ totalBytes: 100, deadlineMs: 1000, mostWaiters, nowMs: () => nowMs });
  return { budget, pass: (ms) => (nowMs += ms) };
}

describe('ByteBudget', () => {
  test('grants what there is room for, and the rest in turn as it is released', () => {
    const { budget } = createBudget();
    const granted: string[] = [];
    budget.acquire(60, true, (isGranted) => isGranted && granted.push('a'));
    budget.acquire(50, true, (isGranted) => isGranted && granted.push('b'));
    // There would be room for it, but it is not its turn.
    budget.acquire(10, true, (isGranted) => isGranted && granted.push('c'));
    expect(granted).toStrictEqual(['a']);
    budget.release(60);
    expect(granted).toStrictEqual(['a', 'b', 'c']);
  });

  test('refuses at once who may not wait, and whoever comes when enough wait', () => {
    const { budget } = createBudget(1);
    const decisions: string[] = [];
    const decide = (name: string) => (isGranted: boolean) => void decisions.push(`${name} ${isGranted}`);
    budget.acquire(100, true, decide('first'));
    budget.acquire(1, false, decide('hurried'));
    budget.acquire(1, true, decide('waiting'));
    budget.acquire(1, true, decide('late'));
    expect(decisions).toStrictEqual(['first true', 'hurried false', 'late false']);
  });

  test('refuses who has waited past the deadline', () => {
    const { budget, pass } = createBudget();
    const decisions: boolean[] = [];
    budget.acquire(100, true, () => undefined);
    budget.acquire(1, true, (isGranted) => void decisions.push(isGranted));
    pass(999);
    budget.sweep();
    expect(decisions).toStrictEqual([]);
    pass(1);
    budget.sweep();
    expect(decisions).toStrictEqual([false]);
    expect(budget.hasWaiters).toBe(false);
  });

  test('any number may release at once what they are granted', () => {
    const { budget } = createBudget();
    const most = 100_000;
    let granted = 0;
    budget.acquire(100, true, () => undefined);
    for (let i = 0; i < most; i++) {
      budget.acquire(100, true, () => {
        granted++;
        budget.release(100);
      });
    }
    budget.release(100);
    expect(granted).toBe(most);
  });
});
