import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  BATCH_VERSION,
  BatchFormatError,
  BatchReader,
  type BatchRequest,
  BatchWriter,
  CREATE_ONLY,
  DELETE,
  GET,
  HAS_TAG,
  HEAD,
  IS_TEXT,
  PUT,
} from '../../src/api/batch-format.ts';
import { printedSeed } from '../support/random.ts';

const text = fc.string({ unit: 'grapheme' });
const header = fc.stringMatching(/^[!-~]{0,40}$/);
const put = fc.record(
  {
    method: fc.constant(PUT),
    key: text,
    value: fc.oneof(text, fc.uint8Array({ maxLength: 100 })),
    ttl: fc.double({ min: 0.001, max: 3e8, noNaN: true }),
    contentType: header,
    contentEncoding: header,
    ifMatch: header,
    createOnly: fc.boolean(),
  },
  { requiredKeys: ['method', 'key', 'value'] },
);
const other = fc.record({ method: fc.constantFrom(GET, DELETE, HEAD), key: text });
const requests = fc.array(fc.oneof(put, other), { maxLength: 50 }) as fc.Arbitrary<BatchRequest[]>;

test('what is written is read again, record by record', () => {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  const writer = new BatchWriter();
  fc.assert(
    fc.property(requests, (batch) => {
      fc.pre(batch.length > 0);
      for (const request of batch) writer.add(request);
      const bytes = writer.take();
      const reader = new BatchReader(bytes, 'request');
      for (const request of batch) {
        const record = reader.next()!;
        expect(record.kind).toBe(request.method);
        expect(decoder.decode(bytes.subarray(record.keyStart, record.keyEnd))).toBe(request.key);
        const { value = '' } = request;
        const valueBytes = typeof value === 'string' ? encoder.encode(value) : value;
        expect(Buffer.from(bytes.subarray(record.valueStart, record.valueEnd)).equals(valueBytes)).toBe(true);
        expect((record.flags & IS_TEXT) !== 0).toBe(typeof request.value === 'string');
        expect((record.flags & CREATE_ONLY) !== 0).toBe(request.createOnly === true);
        expect(record.ttl).toBe(request.ttl ?? 0);
        expect(record.contentType).toBe(request.contentType ?? '');
        expect(record.contentEncoding).toBe(request.contentEncoding ?? '');
        expect(record.tag).toBe(request.ifMatch ?? '');
      }
      expect(reader.next()).toBeUndefined();
    }),
    { seed: printedSeed('batch format') },
  );
});

test('a batch that is cut off anywhere is refused', () => {
  const writer = new BatchWriter();
  writer.add({ method: PUT, key: 'a', value: 'value', ttl: 1.5, contentType: 'image/png', ifMatch: '"1"' });
  const whole = writer.take();
  for (let length = 1; length < whole.length; length++) {
    const reader = new BatchReader(whole.subarray(0, length), 'request');
    if (length === 1) expect(reader.next()).toBeUndefined();
    else expect(() => reader.next()).toThrow(BatchFormatError);
  }
});

test('other versions, unknown methods and an empty body are refused', () => {
  expect(() => new BatchReader(new Uint8Array(), 'request')).toThrow('version, which is 1');
  expect(() => new BatchReader(Uint8Array.of(2), 'request')).toThrow('version, which is 1');
  expect(() => new BatchReader(Uint8Array.of(BATCH_VERSION, 9, 0, 0, 0), 'request').next()).toThrow(
    'Method 9',
  );
});

test('what does not fit the lengths of a record is refused, and the batch goes on', () => {
  const writer = new BatchWriter();
  writer.add({ method: GET, key: 'a' });
  expect(() => writer.add({ method: GET, key: 'k'.repeat(65_536) })).toThrow('65535 bytes');
  expect(() => writer.add({ method: PUT, key: 'b', value: '', contentType: 't'.repeat(256) })).toThrow('255');
  writer.add({ method: GET, key: 'c' });
  expect([...writer.take()]).toStrictEqual([1, GET, 0, 0, 1, 0x61, GET, 0, 0, 1, 0x63]);
});

test('a response is read: its status, its entity tag and its value', () => {
  const bytes = Buffer.from([
    1,
    0,
    200,
    HAS_TAG,
    0,
    0,
    0,
    2,
    3,
    0x22,
    0x31,
    0x22,
    0xff,
    0x00,
    1,
    0x94,
    0,
    0,
    0,
    0,
    0,
  ]);
  const reader = new BatchReader(bytes, 'response');
  const hit = reader.next()!;
  expect(hit).toMatchObject({ kind: 200, tag: '"1"' });
  expect([...bytes.subarray(hit.valueStart, hit.valueEnd)]).toStrictEqual([0xff, 0x00]);
  expect(reader.next()).toMatchObject({ kind: 404, valueStart: 21, valueEnd: 21 });
  expect(reader.next()).toBeUndefined();
});
