import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { requestSchemas } from '../../src/api/request-schemas.ts';
import { IS_LONG } from '../support/long.ts';
import { printedSeed } from '../support/random.ts';

const schemas = requestSchemas({ maxKeyLength: 8, maxValueBytes: 16 });

function isAccepted(schema: unknown, data: unknown): boolean {
  return schemas.fastPathValidators.get(schema)!(data);
}

const text = fc.oneof(
  fc.string({ maxLength: 20, unit: 'binary' }),
  fc.string({ maxLength: 20, unit: 'grapheme-ascii' }),
);
const anything = fc.oneof(text, text, fc.integer(), fc.constant(null), fc.constant(undefined));
const name = fc.constantFrom('key', 'value', 'ttl', 'Key', '__proto__', 'constructor');
const body = fc.oneof(
  fc.record({ key: text, value: text }),
  fc.record({ key: anything, value: anything, ttl: anything }, { requiredKeys: [] }),
  fc.array(fc.tuple(name, anything), { maxLength: 4 }).map((members) => Object.fromEntries(members)),
  fc.array(text, { maxLength: 2 }),
  anything,
);

test('what the fast path accepts the schema accepts too, and changes nothing in it', () => {
  let accepted = 0;
  fc.assert(
    fc.property(body, text, (data, key) => {
      if (isAccepted(schemas.putBody, data)) {
        accepted++;
        expect(schemas.putBody.parse(data)).toEqual(data);
      }
      if (isAccepted(schemas.keyInPath, { key }))
        expect(schemas.keyInPath.parse({ key })).toStrictEqual({ key });
    }),
    { numRuns: IS_LONG ? 20_000 : 5000, seed: printedSeed('schemas') },
  );
  expect(accepted).toBeGreaterThan(IS_LONG ? 100 : 25);
});

test('the fast path accepts the bodies that come all the time', () => {
  expect(isAccepted(schemas.putBody, { key: 'a', value: '' })).toBe(true);
  expect(isAccepted(schemas.putBody, { value: 'x'.repeat(16), key: ' ~' })).toBe(true);
  expect(isAccepted(schemas.keyInPath, { key: 'a/b' })).toBe(true);
});
