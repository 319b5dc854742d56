import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { BatchFormatError, BatchReader, type BatchRequest, BatchWriter } from '../../src/api/batch-format.ts';
import {
  BATCH_VERSION,
  CREATE_ONLY,
  DELETE,
  GET,
  HAS_TAG,
  HEAD,
  IS_TEXT,
  PUT,
  RequestRecords,
} from '../../src/shared/batch-records.ts';
import { ResponseRecords } from '../../src/shared/response-records.ts';
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
    wantsTag: fc.boolean(),
    createOnly: fc.boolean(),
  },
  { requiredKeys: ['method', 'key', 'value'] },
);
const other = fc.record({ method: fc.constantFrom(GET, DELETE, HEAD), key: text });
const requests = fc.array(fc.oneof(put, other), { maxLength: 50 }) as fc.Arbitrary<BatchRequest[]>;

test('requests that are written are read again, record by record', () => {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  const writer = new BatchWriter();
  fc.assert(
    fc.property(requests, (batch) => {
      for (const request of batch) writer.add(request);
      const bytes = writer.take();
      const records = new RequestRecords(bytes);
      for (const request of batch) {
        expect(records.next()).toBe(true);
        expect(records.method).toBe(request.method);
        expect(decoder.decode(bytes.subarray(records.keyStart, records.keyEnd))).toBe(request.key);
        const { value = '' } = request;
        const valueBytes = typeof value === 'string' ? encoder.encode(value) : value;
        expect(Buffer.from(bytes.subarray(records.keyEnd, records.valueEnd)).equals(valueBytes)).toBe(true);
        expect((records.flags & IS_TEXT) !== 0).toBe(typeof request.value === 'string');
        expect((records.flags & CREATE_ONLY) !== 0).toBe(request.createOnly === true);
        expect((records.flags & HAS_TAG) !== 0).toBe(request.wantsTag === true);
        if (request.ttl !== undefined) expect(records.ttl).toBe(request.ttl);
        expect(records.contentType).toBe(request.contentType ?? '');
        expect(records.contentEncoding).toBe(request.contentEncoding ?? '');
      }
      expect(records.next()).toBe(false);
      expect(records.isAtEnd).toBe(true);
    }),
    { seed: printedSeed('batch format') },
  );
});

test('requests that are cut off anywhere are not taken for whole', () => {
  const writer = new BatchWriter();
  writer.add({
    method: PUT,
    key: 'a',
    value: 'value',
    ttl: 1.5,
    contentType: 'image/png',
    contentEncoding: 'br',
  });
  const whole = writer.take();
  for (let length = 2; length < whole.length; length++) {
    const records = new RequestRecords(whole.subarray(0, length));
    expect(records.next()).toBe(false);
    expect(records.isAtEnd).toBe(false);
  }
});

test('what does not fit the lengths of a record is refused, and the batch goes on', () => {
  const writer = new BatchWriter();
  writer.add({ method: GET, key: 'a' });
  expect(() => writer.add({ method: GET, key: 'k'.repeat(65_536) })).toThrow('65535 bytes');
  expect(() => writer.add({ method: PUT, key: 'b', value: '', contentType: 't'.repeat(256) })).toThrow('255');
  expect(() => writer.add({ method: PUT, key: 'b', value: 5 as unknown as string })).toThrow();
  expect(() => writer.add({ method: GET, key: 5 as unknown as string })).toThrow();
  writer.add({ method: GET, key: 'c' });
  expect([...writer.take()]).toStrictEqual([1, GET, 0, 0, 1, 0x61, GET, 0, 0, 1, 0x63]);
});

/** An answer of two records with all fields, an error and a miss. */
function answer(): Buffer {
  const records = new ResponseRecords();
  records.begin();
  records.addHead(200, 1 | 2 | 4 | 8, 2);
  records.addDouble(1.5);
  records.addShort('image/png');
  records.addShort('br');
  records.addShort('"1"');
  records.buffer.set([0xff, 0], records.skip(2));
  records.addError(503, 'CODE and why');
  records.addBare(404);
  return Buffer.from(records.take() as string, 'latin1');
}

test('an answer is read: statuses, fields and values', () => {
  const bytes = answer();
  const reader = new BatchReader(bytes);
  const hit = reader.next()!;
  expect(hit).toMatchObject({ status: 200, ttl: 1.5, contentType: 'image/png', contentEncoding: 'br' });
  expect(hit.tag).toBe('"1"');
  expect([...bytes.subarray(hit.valueStart, hit.valueEnd)]).toStrictEqual([0xff, 0x00]);
  const error = reader.next()!;
  expect(error).toMatchObject({ status: 503, ttl: 0, contentType: '', contentEncoding: '', tag: '' });
  expect(bytes.toString('latin1', error.valueStart, error.valueEnd)).toBe('CODE and why');
  expect(reader.next()).toMatchObject({ status: 404, valueStart: bytes.length, valueEnd: bytes.length });
  expect(reader.next()).toBeUndefined();
});

test('an answer that is cut off anywhere within a record, or of another version, is refused', () => {
  const whole = answer();
  const ends = [1];
  for (const reader = new BatchReader(whole); ;) {
    const record = reader.next();
    if (!record) break;
    ends.push(record.valueEnd);
  }
  expect(ends.length).toBe(4);
  for (let length = 1; length < whole.length; length++) {
    const reader = new BatchReader(whole.subarray(0, length));
    const readAll = (): void => {
      while (reader.next());
    };
    if (ends.includes(length)) readAll();
    else expect(readAll).toThrow(BatchFormatError);
  }
  expect(() => new BatchReader(new Uint8Array())).toThrow(`version, which is ${BATCH_VERSION}`);
  expect(() => new BatchReader(Uint8Array.of(2))).toThrow('version');
});
