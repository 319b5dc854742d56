import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeyNames } from '../../src/keyv/key-names.ts';
import { printedSeed } from '../support/random.ts';

const seed = printedSeed('key names');
/** Any text, halves of surrogate pairs included, with more of what is special here. */
const text = fc
  .array(fc.oneof(fc.nat(0xffff), fc.constantFrom(...'%:u8D ~\u007f\n\ud83c\udf31'.split('').map(codeOf))))
  .map((codes) => String.fromCharCode(...codes));

function codeOf(character: string): number {
  return character.charCodeAt(0);
}

test('are printable ASCII, and have their key back', () => {
  fc.assert(
    fc.property(text, text, (namespace, key) => {
      const names = new KeyNames(namespace);
      const name = names.nameOf(key);
      expect(name).toMatch(/^[\x20-\x7e]+$/);
      expect(names.keyOf(name)).toBe(key);
    }),
    { seed, numRuns: 3000 },
  );
});

test('of two namespaces never begin alike', () => {
  fc.assert(
    fc.property(text, text, text, (one, other, key) => {
      fc.pre(one !== other);
      expect(new KeyNames(other).nameOf(key).startsWith(new KeyNames(one).prefix)).toBe(false);
    }),
    {
      seed,
      numRuns: 3000,
      examples: [
        ['a', 'a::b', 'c'],
        ['a', 'a%3A', ''],
        ['', ':', ''],
      ],
    },
  );
});

test('are readable where the key is', () => {
  expect(new KeyNames('users').nameOf('user:42 "Ada"')).toBe('users::user:42 "Ada"');
  expect(new KeyNames('').nameOf('100 %, grün, \ud800')).toBe('::100 %25, gr%C3%BCn, %uD800');
});
