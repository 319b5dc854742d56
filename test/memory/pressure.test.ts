import { describe, expect, test } from 'vitest';
import { CALM_MS, type Pressure, type PressureChange, nextPressure } from '../../src/memory/pressure.ts';

const INTERVAL_MS = 250;

/** Looks at intervals, and says at which look there was a change. */
function changesOf(looks: readonly boolean[]): (PressureChange & { readonly atMs: number })[] {
  const changes: (PressureChange & { readonly atMs: number })[] = [];
  let pressure: Pressure | undefined;
  for (const [look, isSeen] of looks.entries()) {
    const atMs = 1000 + look * INTERVAL_MS;
    const next = nextPressure('ceiling', pressure, isSeen, atMs);
    pressure = next.pressure;
    if (next.change) changes.push({ ...next.change, atMs });
  }
  return changes;
}

function times(count: number, looks: readonly boolean[]): boolean[] {
  return Array.from({ length: count }, () => looks).flat();
}

describe('nextPressure', () => {
  test('reports nothing while there is no pressure', () => {
    expect(changesOf(times(1000, [false]))).toStrictEqual([]);
    expect(nextPressure('threshold', undefined, false, 5)).toStrictEqual({ pressure: undefined });
  });

  test('reports its begin at once, and its end after a calm, with how long it lasted', () => {
    const looks = [false, false, ...times(40, [true]), ...times(100, [false])];
    expect(changesOf(looks)).toStrictEqual([
      { kind: 'ceiling', isOn: true, lastedMs: 0, atMs: 1500 },
      { kind: 'ceiling', isOn: false, lastedMs: 39 * INTERVAL_MS, atMs: 1500 + 39 * INTERVAL_MS + CALM_MS },
    ]);
  });

  test('a flood that shed orders interrupt again and again has one begin and one end', () => {
    const looks = [...times(500, [true, true, false, true, ...times(20, [false])]), ...times(100, [false])];
    expect(changesOf(looks).map(({ isOn }) => isOn)).toStrictEqual([true, false]);
  });

  test('after a calm it begins again', () => {
    const looks = times(3, [true, ...times(CALM_MS / INTERVAL_MS + 1, [false])]);
    expect(changesOf(looks).map(({ isOn }) => isOn)).toStrictEqual([true, false, true, false, true, false]);
  });
});
