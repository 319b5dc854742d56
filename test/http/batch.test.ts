import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  BATCH_TYPE,
  BatchReader,
  type BatchRecord,
  BatchWriter,
  DELETE,
  GET,
  HEAD,
  IS_ERROR,
  IS_TEXT,
  PUT,
} from '../../src/api/batch-format.ts';
import { HttpPipe } from '../support/http-pipe.ts';
import { faultValue } from '../support/faults.ts';
import { startFaultyServer } from '../support/faulty-server.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ SHARDS: '2', MEMORY_LIMIT: '512mb' });
});
afterAll(() => server.close());

async function post(
  body: string | Uint8Array,
  type = 'application/json',
  port = server.port,
): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}/batch`, {
    method: 'POST',
    headers: { 'content-type': type },
    body: typeof body === 'string' ? body : Buffer.from(body),
  });
}

async function ask(...requests: readonly object[]): Promise<unknown> {
  const response = await post(JSON.stringify({ requests }));
  expect(response.status).toBe(200);
  const { status, responses } = (await response.json()) as { status: string; responses: unknown };
  expect(status).toBe('OK');
  return responses;
}

describe('in JSON', () => {
  test('requests are answered one by one, in their order', async () => {
    expect(
      await ask(
        { method: 'PUT', key: 'b', value: 'x', ttl: 60 },
        { method: 'GET', key: 'b' },
        { method: 'HEAD', key: 'b' },
        { method: 'PUT', key: 'b', value: 'y' },
        { method: 'GET', key: 'b' },
        { method: 'DELETE', key: 'b' },
        { method: 'DELETE', key: 'b' },
        { method: 'GET', key: 'b' },
      ),
    ).toStrictEqual([
      { status: 201 },
      { status: 200, value: 'x' },
      { status: 200 },
      { status: 204 },
      { status: 200, value: 'y' },
      { status: 204 },
      { status: 404, code: 'CACHE_ERR_KEY_NOT_FOUND', message: 'Key not found.' },
      { status: 404, code: 'CACHE_ERR_KEY_NOT_FOUND', message: 'Key not found.' },
    ]);
  });

  test('what is wrong fails alone, and says what is wrong', async () => {
    const responses = await ask(
      { method: 'PATCH', key: 'a' },
      { method: 'GET', key: '' },
      { method: 'PUT', key: 'a', value: 5 },
      { method: 'PUT', key: 'a', value: 'x', ttl: -1 },
      { method: 'GET', key: 'a', ttl: 1 },
      { method: 'PUT', key: 'a', value: 'fine' },
    );
    expect(responses).toMatchObject([
      { status: 400, message: expect.stringContaining('method must be') },
      { status: 400, code: 'CACHE_ERR_KEY_INVALID' },
      { status: 400, code: 'CACHE_ERR_VALUE_INVALID' },
      { status: 400, code: 'CACHE_ERR_TTL_INVALID' },
      { status: 400 },
      { status: 201 },
    ]);
  });

  test.each([
    ['no JSON', '{', 400],
    ['no requests', '{}', 400],
    ['an unknown property', '{"requests":[],"atomic":true}', 400],
    [
      'too many',
      JSON.stringify({ requests: Array.from({ length: 1001 }, () => ({ method: 'GET', key: 'a' })) }),
      400,
    ],
    ['too long', ' '.repeat(2 ** 22 + 1), 413],
  ])('a body with %s is refused as a whole', async (_what, body, status) => {
    expect((await post(body)).status).toBe(status);
  });

  test('a faulty item has the code that it has by itself on the other routes', async () => {
    const responses = await ask(
      { method: 'PUT', key: 'a', value: 'x'.repeat(2 ** 20 + 1) },
      { method: 'PUT', key: 'a', value: 'x', tll: 1 },
    );
    expect(responses).toMatchObject([
      { status: 413, code: 'CACHE_ERR_VALUE_TOO_LARGE' },
      { status: 400, code: 'CACHE_ERR_UNKNOWN_PROPERTY' },
    ]);
  });

  test('a body is read as other JSON bodies are: byte order mark, case of the type, charset, encoding', async () => {
    expect((await post('\uFEFF{"requests":[]}', 'Application/JSON; charset=UTF-8')).status).toBe(200);
    expect((await post('{"requests":[]}', 'application/json; charset=utf-16')).status).toBe(415);
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    const url = `http://127.0.0.1:${server.port}/batch`;
    expect((await fetch(url, { method: 'POST', headers, body: '{"requests":[]}' })).status).toBe(415);
  });

  test('a query parameter is refused, as on the other routes that know none', async () => {
    const response = await fetch(`http://127.0.0.1:${server.port}/batch?ttl=5`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"requests":[]}',
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ message: expect.stringContaining('"ttl"') });
  });

  test('another type is refused; an empty batch is none the less one', async () => {
    expect((await post('[]', 'text/plain')).status).toBe(415);
    expect(await ask()).toStrictEqual([]);
  });
});

test('in the binary form any bytes come back, with their type', async () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  const writer = new BatchWriter();
  writer.add({ method: PUT, key: 'bytes', value: bytes, contentType: 'image/png', ttl: 100 });
  writer.add({ method: PUT, key: 'text', value: 'grün', createOnly: true, wantsTag: true });
  writer.add({ method: PUT, key: 'text', value: 'anders', createOnly: true });
  writer.add({ method: GET, key: 'bytes', wantsTag: true });
  writer.add({ method: GET, key: 'text', wantsTag: true });
  writer.add({ method: HEAD, key: 'text' });
  writer.add({ method: DELETE, key: 'none' });
  writer.add({ method: GET, key: 'ä' });
  const response = await post(writer.take(), BATCH_TYPE);
  expect(response.headers.get('content-type')).toBe(BATCH_TYPE);
  const answer = new Uint8Array(await response.arrayBuffer());
  const reader = new BatchReader(answer);
  const records: BatchRecord[] = [];
  for (let record = reader.next(); record; record = reader.next()) records.push({ ...record });
  expect(records.map(({ status }) => status)).toStrictEqual([201, 201, 412, 200, 200, 200, 404, 400]);
  const valueOf = (place: number): Buffer =>
    Buffer.from(answer.subarray(records[place].valueStart, records[place].valueEnd));
  expect(valueOf(3).equals(bytes)).toBe(true);
  expect(records[3]).toMatchObject({ contentType: 'image/png', tag: expect.stringMatching(/^".{16}"$/) });
  expect(records[3].ttl).toBeGreaterThan(90);
  expect(valueOf(4).toString()).toBe('grün');
  expect(records[4].flags & IS_TEXT).toBe(IS_TEXT);
  expect(records[4].tag).toBe(records[1].tag);
  expect(records[5].valueEnd).toBe(records[5].valueStart);
  expect(records[7].flags & IS_ERROR).toBe(IS_ERROR);
  expect(valueOf(7).toString()).toMatch(/^CACHE_ERR_KEY_INVALID key must be/);
});

test('texts that no header can hold are refused, and the entry is not stored', async () => {
  const writer = new BatchWriter();
  const texts = ['text/html\r\nSet-Cookie: a=b', 'a\0b', 'a\x7fb'];
  for (const text of texts) {
    writer.add({ method: PUT, key: 'header', value: '1', contentType: text });
    writer.add({ method: PUT, key: 'header', value: '1', contentEncoding: text });
  }
  writer.add({ method: PUT, key: 'fine', value: '1', contentType: 'a\tb\xfc' });
  const response = await post(writer.take(), BATCH_TYPE);
  const reader = new BatchReader(new Uint8Array(await response.arrayBuffer()));
  const statuses: number[] = [];
  for (let record = reader.next(); record; record = reader.next()) statuses.push(record.status);
  expect(statuses).toStrictEqual([...Array<number>(6).fill(400), 201]);
  expect((await fetch(`http://127.0.0.1:${server.port}/kv/header`)).status).toBe(404);
  const fine = await fetch(`http://127.0.0.1:${server.port}/kv/fine`);
  expect(fine.headers.get('content-type')).toBe('a\tb\xfc');
});

test('a thousand keys over both shards; the entries are those of the other routes', async () => {
  const writer = new BatchWriter();
  for (let i = 0; i < 1000; i++) writer.add({ method: PUT, key: `many-${i}`, value: `value ${i}` });
  expect((await post(writer.take(), BATCH_TYPE)).status).toBe(200);
  for (const i of [0, 500, 999]) {
    expect(await (await fetch(`http://127.0.0.1:${server.port}/cache/many-${i}`)).json()).toMatchObject({
      value: `value ${i}`,
    });
  }
});

test('hits of more bytes than an answer may have are refused one by one, and can be asked for again', async () => {
  const value = 'x'.repeat(2 ** 20);
  for (let i = 0; i < 5; i++) expect((await server.client.put(`large-${i}`, value)).status).toBe(201);
  const keys = Array.from({ length: 5 }, (_, i) => ({ method: 'GET', key: `large-${i}` }));
  const responses = (await ask(...keys)) as { status: number }[];
  const refused = responses.flatMap(({ status }, i) => (status === 503 ? [keys[i]] : []));
  expect(responses.filter(({ status }) => status === 200).length).toBe(5 - refused.length);
  expect(refused.length).toBeGreaterThan(0);
  expect(await ask(...refused)).toMatchObject(refused.map(() => ({ status: 200, value })));
  await expect.poll(() => server.app.purse.totals.bodyBytes).toBe(0);
});

test('a shard that is down fails only its own requests', async () => {
  await using faulty = await startFaultyServer({ SHARDS: '2', REQUEST_DEADLINE_MS: '300' });
  const pipe = await HttpPipe.open(faulty.port);
  void pipe.put('stuck', faultValue('sleep')).catch(() => undefined);
  await expect.poll(() => faulty.router.shards.some(({ mailbox }) => mailbox!.inFlight > 0)).toBe(true);
  const requests = Array.from({ length: 40 }, (_, i) => ({ method: 'PUT', key: `k${i}`, value: 'v' }));
  const response = await post(JSON.stringify({ requests }), 'application/json', faulty.port);
  const { responses } = (await response.json()) as { responses: { status: number }[] };
  const counts = [201, 503].map((wanted) => responses.filter(({ status }) => status === wanted).length);
  expect(counts[0]).toBeGreaterThan(0);
  expect(counts[1]).toBeGreaterThan(0);
  expect(counts[0] + counts[1]).toBe(40);
  pipe.close();
  await Promise.all(faulty.router.shards.map((shard) => shard.kill()));
});

test('with one shard a batch crosses whole; what fails is put in its place', async () => {
  await using alone = await startTestServer({ SHARDS: '1' });
  const send = (...requests: readonly object[]): Promise<unknown> =>
    post(JSON.stringify({ requests }), 'application/json', alone.port).then((response) => response.json());
  expect(
    (await alone.client.call({ method: 'PUT', path: '/kv/huge', body: 'x'.repeat(2 ** 21) })).status,
  ).toBe(201);
  const put = { method: 'PUT', key: 'a', value: 'x' };
  expect(await send(put, { method: 'GET', key: 'a' })).toMatchObject({
    responses: [{ status: 201 }, { status: 200, value: 'x' }],
  });
  expect(
    await send(
      { method: 'GET', key: 'huge' },
      { method: 'HEAD', key: 'huge' },
      { method: 'POST' },
      { method: 'GET', key: 'a' },
    ),
  ).toMatchObject({
    responses: [
      { status: 413, code: 'CACHE_ERR_VALUE_TOO_LARGE', message: expect.stringContaining('/kv/') },
      { status: 200 },
      { status: 400 },
      { status: 200, value: 'x' },
    ],
  });
});

test.each([
  ['another version', Buffer.from([2]), /version, which is 1/],
  ['a method that there is not', Buffer.from([1, 9, 0, 0, 1, 0x61]), /Method 9/],
  ['a flag that there is not', Buffer.from([1, GET, 128, 0, 1, 0x61]), /flag/],
  ['a record that is cut off', Buffer.from([1, GET, 0, 0, 2, 0x61]), /in the middle of a record/],
  ['a lifetime that is cut off', Buffer.from([1, PUT, 1, 0, 1, 0, 0, 0, 0, 0]), /in the middle/],
])('a binary batch with %s is refused as a whole', async (_what, body, message) => {
  const response = await post(body, BATCH_TYPE);
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    code: 'CACHE_ERR_BODY_INVALID',
    message: expect.stringMatching(message),
  });
});

test('with a token that may only read, the writes of a batch fail alone', async () => {
  await using locked = await startTestServer({ SHARDS: '1', AUTH_TOKEN: 'all', AUTH_READ_TOKEN: 'read' });
  const requests = [
    { method: 'PUT', key: 'a', value: 'x' },
    { method: 'DELETE', key: 'b' },
    { method: 'GET', key: 'a' },
    { method: 'HEAD', key: 'b' },
  ];
  const send = async (token: string): Promise<{ responses: { status: number }[] }> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ requests });
    const response = await fetch(`http://127.0.0.1:${locked.port}/batch`, { method: 'POST', headers, body });
    return (await response.json()) as { responses: { status: number }[] };
  };
  const forbidden = { status: 403, code: 'CACHE_ERR_FORBIDDEN' };
  expect((await send('read')).responses).toMatchObject([
    forbidden,
    forbidden,
    { status: 404 },
    { status: 404 },
  ]);
  expect((await send('all')).responses.map(({ status }) => status)).toStrictEqual([201, 404, 200, 404]);
  expect((await send('read')).responses[2]).toStrictEqual({ status: 200, value: 'x' });
});
