import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { requestSchemas } from '../../src/http/schemas.ts';
import { printedSeed } from '../support/random.ts';

const schemas = requestSchemas({ maxKeyLength: 8, maxValueBytes: 16 });

function isObvious(schema: unknown, data: unknown): boolean {
  return schemas.obvious.get(schema)!(data);
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

test('what is obviously right is right by the schema too, and nothing of it is changed', () => {
  let obvious = 0;
  fc.assert(
    fc.property(body, text, (data, key) => {
      if (isObvious(schemas.putBody, data)) {
        obvious++;
        expect(schemas.putBody.parse(data)).toEqual(data);
      }
      if (isObvious(schemas.keyInPath, { key }))
        expect(schemas.keyInPath.parse({ key })).toStrictEqual({ key });
    }),
    { numRuns: 20_000, seed: printedSeed('schemas') },
  );
  expect(obvious).toBeGreaterThan(100);
});

test('bodies that come all the time are obviously right', () => {
  expect(isObvious(schemas.putBody, { key: 'a', value: '' })).toBe(true);
  expect(isObvious(schemas.putBody, { value: 'x'.repeat(16), key: ' ~' })).toBe(true);
  expect(isObvious(schemas.keyInPath, { key: 'a/b' })).toBe(true);
});
