import { expect, test } from 'vitest';
import { InvariantError } from '../../src/shared/assert.ts';
import {
  encodeRawPut,
  encodeRawRequest,
  RAW_GET,
  RAW_PUT,
  keyStart,
  requestEnd,
} from '../../src/shared/protocol.ts';
import {
  type Conditions,
  decodeConditions,
  decodeHead,
  decodePutOptions,
  encodeConditions,
  encodeHead,
  encodePutOptions,
} from '../../src/shared/raw-entries.ts';

const ONE = 'AAAAAAAAAAAAAAA1';
const TWO = 'AAAAAAAAAAAAAAA2';
const CONDITIONS: readonly Conditions[] = [
  { ifMatch: undefined, ifNoneMatch: undefined },
  { ifMatch: '*', ifNoneMatch: undefined },
  { ifMatch: undefined, ifNoneMatch: '*' },
  { ifMatch: [ONE, TWO], ifNoneMatch: '*' },
  { ifMatch: '*', ifNoneMatch: [TWO] },
  { ifMatch: [], ifNoneMatch: [ONE, TWO] },
];
const TEXTS = {
  contentType: 'text/plain',
  contentEncoding: 'br',
  headers: ['1', '\xff'.repeat(255)],
} as const;

test.each(CONDITIONS)('conditions survive: %j', (conditions) => {
  const text = encodeConditions(conditions);
  expect(decodeConditions(text)).toEqual(conditions);
  const options = { ttlMs: 2 ** 40 + 7, ...TEXTS, conditions };
  expect(decodePutOptions(encodePutOptions(options))).toEqual(options);
});

test('no conditions take nothing, and tags that are not ours are left out', () => {
  expect(encodeConditions({})).toBe('');
  const conditions = { ifMatch: ['short', ONE, `${ONE}1`], ifNoneMatch: ['other'] };
  expect(decodeConditions(encodeConditions(conditions))).toEqual({ ifMatch: [ONE], ifNoneMatch: [] });
});

test('a head survives', () => {
  const head = { valueBytes: 2 ** 28, ttlMs: 315_360_000_000, tag: ONE, ...TEXTS };
  expect(decodeHead(encodeHead(head))).toEqual(head);
  const none = { contentType: '', contentEncoding: '', headers: ['', ''] as const };
  expect(decodeHead(encodeHead({ ...head, ...none }))).toEqual({ ...head, ...none });
});

test('a text that is too long is an error of the caller', () => {
  const head = { valueBytes: 1, ttlMs: 0, tag: ONE, ...TEXTS, contentType: 'x'.repeat(256) };
  expect(() => encodeHead(head)).toThrow(InvariantError);
});

test('requests end where the next one begins', () => {
  const get = encodeRawRequest(RAW_GET, 'key', encodeConditions({ ifNoneMatch: [ONE] }));
  const put = encodeRawPut(
    'longer key',
    encodePutOptions({ ttlMs: 0, ...TEXTS, conditions: {} }),
    '\xff'.repeat(300),
  );
  const batch = get + put + get;
  expect(requestEnd(batch, 0)).toBe(get.length);
  expect(requestEnd(batch, get.length)).toBe(get.length + put.length);
  expect(requestEnd(batch, get.length + put.length)).toBe(batch.length);
  expect(batch.startsWith('longer key', keyStart(RAW_PUT, get.length))).toBe(true);
});
