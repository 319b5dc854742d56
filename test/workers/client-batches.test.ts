import { expect, test } from 'vitest';
import { BatchReader, type BatchRecord, type BatchRequest, BatchWriter } from '../../src/api/batch-format.ts';
import { DELETE, GET, HAS_TTL, HEAD, PUT } from '../../src/shared/batch-records.ts';
import {
  BATCH_DONE,
  BATCH_FULL,
  BATCH_MIXED,
  BUSY,
  LARGE_PAYLOAD,
  PRECONDITION_FAILED,
  TOO_LARGE,
  encodeGet,
} from '../../src/shared/protocol.ts';
import { MIB } from '../support/segments.ts';
import { createActor } from '../support/test-actor.ts';

type Actor = ReturnType<typeof createActor>;

interface Answer {
  readonly code: number;
  readonly records: readonly (BatchRecord & { readonly value: string })[];
}

function askBatch({ handle, replies }: Actor, ...requests: readonly BatchRequest[]): Answer {
  const writer = new BatchWriter();
  for (const request of requests) writer.add(request);
  handle({ kind: 'batch', requests: writer.take() });
  const [{ code, body }] = replies.splice(0);
  const bytes = Buffer.from(body as string, 'latin1');
  const records: Answer['records'][number][] = [];
  const reader = new BatchReader(bytes);
  for (let record = reader.next(); record; record = reader.next()) {
    records.push({ ...record, value: bytes.toString('latin1', record.valueStart, record.valueEnd) });
  }
  return { code, records };
}

const statusesOf = ({ records }: Answer): number[] => records.map(({ status }) => status);

test('each request has its record, in order; more than are read ahead for', () => {
  const actor = createActor();
  const puts = Array.from(
    { length: 100 },
    (_, i) => ({ method: PUT, key: `k${i}`, value: `v${i}` }) as const,
  );
  const gets = puts.map(({ key }) => ({ method: GET, key }) as const);
  expect(statusesOf(askBatch(actor, ...puts))).toStrictEqual(puts.map(() => 201));
  const { code, records } = askBatch(actor, ...gets, { method: GET, key: 'none' });
  expect(code).toBe(BATCH_DONE);
  expect(records.map(({ value }) => value)).toStrictEqual([...puts.map(({ value }) => value), '']);
  expect(records.at(-1)!.status).toBe(404);
});

test('what is stored is read with its lifetime, types and, where it is wanted, its tag', () => {
  const actor = createActor();
  const value = Uint8Array.of(0, 200);
  const { records } = askBatch(
    actor,
    { method: PUT, key: 'a', value, ttl: 5, contentType: 'image/png', contentEncoding: 'br', wantsTag: true },
    { method: GET, key: 'a', wantsTag: true },
    { method: HEAD, key: 'a' },
    { method: PUT, key: 'a', value: 'text', createOnly: true },
    { method: DELETE, key: 'a' },
    { method: GET, key: 'a' },
  );
  expect(records.map(({ status }) => status)).toStrictEqual([201, 200, 200, PRECONDITION_FAILED, 204, 404]);
  expect(records[0].tag).toMatch(/^".{16}"$/);
  const { tag } = records[0];
  expect(records[1]).toMatchObject({
    value: '\0\u00c8',
    contentType: 'image/png',
    contentEncoding: 'br',
    tag,
  });
  expect(records[1].flags & HAS_TTL).toBe(HAS_TTL);
  expect(records[1].ttl).toBe(5);
  expect(records[2]).toMatchObject({ value: '', tag: '', contentType: 'image/png' });
});

test('what fails has the code of a reply in the place of its status', () => {
  const actor = createActor();
  const answer = askBatch(
    actor,
    { method: PUT, key: 'huge', value: 'x'.repeat(MIB + 4096) },
    { method: GET, key: 'huge' },
  );
  expect(answer.code).toBe(BATCH_MIXED);
  expect(statusesOf(answer)).toStrictEqual([TOO_LARGE, 404]);
});

test('an answer has at most 4 MiB, and is counted until its client has it', () => {
  const cells = new Int32Array(1);
  const actor = createActor(64 * MIB, cells, { ceilingBytes: 64 * MIB });
  const value = 'x'.repeat(MIB - 100);
  for (let i = 0; i < 5; i++) askBatch(actor, { method: PUT, key: `k${i}`, value });
  const gets = Array.from({ length: 5 }, (_, i) => ({ method: GET, key: `k${i}` }) as const);
  const answer = askBatch(actor, ...gets, { method: GET, key: 'none' });
  expect(statusesOf(answer)).toStrictEqual([200, 200, 200, 200, BATCH_FULL, 404]);
  const bytes = 1 + 6 * 7 + 4 * value.length;
  expect(cells[0]).toBe(bytes);
  actor.handle({ kind: 'delivered', bytes });
  expect(cells[0]).toBe(0);
});

test('while there is no room for large replies, large values are refused and small ones are not', () => {
  const actor = createActor(1, new Int32Array(1));
  const large = 'x'.repeat(LARGE_PAYLOAD);
  askBatch(actor, { method: PUT, key: 'large', value: large }, { method: PUT, key: 'small', value: 's' });
  actor.handle(encodeGet('large', false));
  actor.replies.splice(0);
  const answer = askBatch(actor, { method: GET, key: 'large' }, { method: GET, key: 'small' });
  expect(statusesOf(answer)).toStrictEqual([BUSY, 200]);
});
