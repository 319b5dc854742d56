import { expect, test } from 'vitest';
import { InvariantError, assert } from '../../src/shared/assert.ts';

test('assert throws an InvariantError with the message when the condition is false, else nothing', () => {
  expect(() => assert(false, 'one is two')).toThrow(new InvariantError('one is two'));
  expect(() => assert(true, 'one is one')).not.toThrow();
});
