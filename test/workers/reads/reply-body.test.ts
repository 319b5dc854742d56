import { describe, expect, test } from 'vitest';
import { encodeGet, encodePut } from '../../../src/shared/protocol.ts';
import { createActor, expectBody, valueIn } from '../../support/test-actor.ts';

describe('the body of a hit', () => {
  const escapes = 'say "x"\n';
  test.each([
    ['short', 'x'.repeat(100)],
    ['short, with escapes', escapes],
    ['long', 'x'.repeat(100_000)],
    ['long, with escapes at its end only', 'x'.repeat(100_000) + escapes.repeat(20_000)],
    ['long, all escapes', '\u0000'.repeat(50_000)],
  ])('is the same each time: %s', (_what, value) => {
    const { ask, store } = createActor();
    ask(encodePut('a"', value, 0));
    for (let i = 0; i < 3; i++) {
      const body = expectBody(ask(encodeGet('a"', false))[0]);
      expect(body === JSON.stringify({ status: 'OK', key: 'a"', value })).toBe(true);
    }
    const other = `${escapes}${value.slice(0, -escapes.length)}`;
    ask(encodePut('a"', other, 0));
    expect(valueIn(expectBody(ask(encodeGet('a"', false))[0])) === other).toBe(true);
    store.checkIntegrity();
  });
});
