import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cachePath, expectError, shortPath } from '../support/http-client.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const MIB = 2 ** 20;
const STORED = '{"status":"OK","message":"Key inserted/updated successfully."}';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(() => server[Symbol.asyncDispose]());

beforeEach(async () => {
  await server.client.call({ method: 'DELETE', path: '/cache' });
});

describe('storing and reading', () => {
  test('PUT /cache answers 201, POST /put 200, with the same body', async () => {
    const { client } = server;
    const created = await client.send('PUT', '/cache', { key: 'a', value: '1' });
    expect([created.status, created.text]).toStrictEqual([201, STORED]);
    expect(created.headers['content-type']).toBe('application/json; charset=utf-8');
    const updated = await client.send('POST', '/put', { key: 'b', value: '2' });
    expect([updated.status, updated.text]).toStrictEqual([200, STORED]);
    expect((await client.put('a', '3')).status).toBe(201);
  });

  test('both families of paths read what either has stored', async () => {
    const { client } = server;
    await client.send('PUT', '/cache', { key: 'a', value: '1' });
    await client.send('POST', '/put', { key: 'b', value: '2' });
    for (const [key, value] of Object.entries({ a: '1', b: '2' })) {
      for (const path of [cachePath(key), shortPath(key)]) {
        const answer = await client.get(path);
        expect(answer.status).toBe(200);
        expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
        expect(answer.text).toBe(JSON.stringify({ status: 'OK', key, value }));
      }
    }
  });

  test('the last acknowledged PUT wins, on any connection', async () => {
    for (let i = 0; i < 200; i++) {
      await server.client.put('counter', String(i));
      const answers = await Promise.all([1, 2, 3].map(() => server.client.get('/cache/counter')));
      for (const { text } of answers) expect(text).toContain(`"value":"${i}"`);
    }
  });

  test('an empty value is a value', async () => {
    await server.client.put('empty', '');
    expect((await server.client.get('/cache/empty')).text).toBe('{"status":"OK","key":"empty","value":""}');
  });

  test('HEAD answers as GET does, without the body', async () => {
    const { client } = server;
    await client.put('a', 'value');
    for (const path of ['/cache/a', '/get?key=a', '/cache/none', '/cache/%80']) {
      const got = await client.get(path);
      const head = await client.call({ method: 'HEAD', path });
      expect(head.status).toBe(got.status);
      expect(head.bytes).toHaveLength(0);
      expect(head.headers['content-length']).toBe(String(got.bytes.length));
      expect({ ...head.headers, date: '' }).toStrictEqual({ ...got.headers, date: '' });
    }
  });

  test('DELETE removes one entry, answers 204 without a body, and then 404', async () => {
    const { client } = server;
    await client.put('a', '1');
    await client.put('b', '2');
    const deleted = await client.call({ method: 'DELETE', path: '/cache/a' });
    expect([deleted.status, deleted.text]).toStrictEqual([204, '']);
    expectError(await client.get('/cache/a'), 404, 'CACHE_ERR_KEY_NOT_FOUND', /^Key not found\.$/);
    expectError(await client.call({ method: 'DELETE', path: '/cache/a' }), 404, 'CACHE_ERR_KEY_NOT_FOUND');
    expect((await client.get('/cache/b')).status).toBe(200);
  });

  test('DELETE /cache empties every shard and says of how many entries', async () => {
    const { client } = server;
    const keys = Array.from({ length: 50 }, (_, i) => `key-${i}`);
    await Promise.all(keys.map((key) => client.put(key, 'v')));
    const held = (await client.stats()).shards.map(({ entries }) => entries);
    expect(Math.min(...held)).toBeGreaterThan(0);
    const cleared = await client.call({ method: 'DELETE', path: '/cache' });
    expect([cleared.status, cleared.text]).toStrictEqual([200, '{"status":"OK","removed":50}']);
    const answers = await Promise.all(keys.map((key) => client.get(cachePath(key))));
    expect(new Set(answers.map(({ status }) => status))).toStrictEqual(new Set([404]));
    expect((await client.call({ method: 'DELETE', path: '/cache' })).text).toBe(
      '{"status":"OK","removed":0}',
    );
  });

  test.each([
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'hasOwnProperty',
    ' ',
    '.',
    '..',
    '~',
    '%',
    'a/b',
  ])('%j is a key like any other', async (key) => {
    const { client } = server;
    expectError(await client.get(shortPath(key)), 404, 'CACHE_ERR_KEY_NOT_FOUND');
    expect((await client.put(key, 'v')).status).toBe(201);
    const expected = JSON.stringify({ status: 'OK', key, value: 'v' });
    expect((await client.get(shortPath(key))).text).toBe(expected);
    expect((await client.get(cachePath(key))).text).toBe(expected);
    expect((await client.call({ method: 'DELETE', path: cachePath(key) })).status).toBe(204);
  });

  test('a slash in a path key is %2F, in either case, and a plus sign is one', async () => {
    const { client } = server;
    await client.put('a/b', 'slash');
    await client.put('a+b', 'plus');
    expect((await client.get('/cache/a%2Fb')).text).toContain('"slash"');
    expect((await client.get('/cache/a%2fb')).text).toContain('"slash"');
    expect((await client.get('/cache/a+b')).text).toContain('"plus"');
    expect((await client.get('/get?key=a%2Bb')).text).toContain('"plus"');
  });

  test('the longest key and the longest value are stored', async () => {
    const { client } = server;
    const key = 'k'.repeat(256);
    const value = 'v'.repeat(MIB);
    expect((await client.put(key, value)).status).toBe(201);
    for (const path of [cachePath(key), shortPath(key)]) {
      expect((await client.get(path)).text).toBe(JSON.stringify({ status: 'OK', key, value }));
    }
  });

  test('the longest value may be written in escapes, six characters for one', async () => {
    const body = `{"key":"nulls","value":"${'\\u0000'.repeat(MIB)}"}`;
    expect((await server.client.send('PUT', '/cache', body)).status).toBe(201);
    const { value } = JSON.parse((await server.client.get('/cache/nulls')).text) as { value: string };
    expect(value === '\0'.repeat(MIB)).toBe(true);
  });

  test('a body may carry a charset, and its content type any case', async () => {
    for (const type of [
      'application/json; charset=utf-8',
      'Application/JSON',
      'application/json;charset=UTF-8',
    ]) {
      const answer = await server.client.call({
        method: 'PUT',
        path: '/cache',
        headers: { 'content-type': type },
        body: '{"key":"a","value":"1"}',
      });
      expect(answer.status).toBe(201);
    }
  });
});

describe('expiry', () => {
  test('an entry with a ttl goes when it has passed, and not before', async () => {
    const { client } = server;
    await client.put('short', 'v', 0.05);
    await client.put('long', 'v', 1000);
    await expect.poll(async () => (await client.get('/cache/short')).status).toBe(404);
    expect((await client.get('/cache/long')).status).toBe(200);
    expect((await client.call({ method: 'DELETE', path: '/cache/short' })).status).toBe(404);
  });

  test('a PUT without ttl over a key that had one removes it', async () => {
    const { client } = server;
    await client.put('kept', 'old', 0.05);
    await client.put('canary', 'v', 0.05);
    await client.put('kept', 'new');
    await expect.poll(async () => (await client.get('/cache/canary')).status).toBe(404);
    expect((await client.get('/cache/kept')).text).toContain('"new"');
  });

  test('ten years is a ttl, and so is the smallest fraction', async () => {
    expect((await server.client.put('a', 'v', 10 * 365 * 86_400)).status).toBe(201);
    expect((await server.client.put('b', 'v', Number.MIN_VALUE)).status).toBe(201);
    expect((await server.client.get('/cache/a')).status).toBe(200);
  });
});
