import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isFlatJson } from '../../../src/http/fast/flat-json.ts';
import { printedSeed } from '../../support/random.ts';

/** Long enough to be looked at. */
const LONG = 'x'.repeat(5000);

describe('isFlatJson', () => {
  test.each([
    ['an object of strings and numbers', `{"key":"k","value":"${LONG}","ttl":1.5e3}`],
    ['brackets, braces and commas in a string', JSON.stringify({ value: '{[,'.repeat(5000) })],
    ['quotes and backslashes in a string', JSON.stringify({ value: '\\"[{'.repeat(5000), key: '\\' })],
    ['a text that is no JSON, for the parser to refuse', `${LONG}"`],
    ['a short text, whatever it is', '[[[{}]]]'],
  ])('lets %s through', (_what, text) => {
    expect(isFlatJson(text)).toBe(true);
  });

  test.each([
    ['an array', `{"key":"${LONG}","value":[]}`],
    ['an object in an object', `{"key":"${LONG}","value":{}}`],
    ['an array after an escaped backslash that ends a string', `{"key":"${LONG}\\\\","value":[]}`],
    ['thousands of members', `{${'"a":1,'.repeat(5000)}"b":1}`],
    ['nothing but brackets', '['.repeat(5000)],
  ])('refuses %s', (_what, text) => {
    expect(isFlatJson(text)).toBe(false);
  });

  test('agrees with the parser on what is flat', () => {
    const seed = printedSeed('flat JSON');
    const flat = fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.double({ noNaN: true }), fc.boolean()), {
      maxKeys: 20,
    });
    const nested = fc.oneof(fc.array(fc.string()), fc.dictionary(fc.string(), fc.string()));
    fc.assert(
      fc.property(flat, nested, (object, inner) => {
        const padded = { ...object, padding: LONG };
        expect(isFlatJson(JSON.stringify(padded))).toBe(true);
        expect(isFlatJson(JSON.stringify({ ...padded, inner }))).toBe(false);
      }),
      { seed },
    );
  });
});
