import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readAccessFiles } from '../../src/config/access-files.ts';
import { makeFolder } from '../support/folder.ts';
import { expectError } from '../support/http-client.ts';
import { type TestServer, startTestServer, testSettings } from '../support/server.ts';

const TOKEN = 'write?>~token';
const READ_TOKEN = 'read-token';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '1', AUTH_TOKEN: TOKEN, AUTH_READ_TOKEN: READ_TOKEN });
});

afterAll(() => server[Symbol.asyncDispose]());

function bearer(token: string): Readonly<Record<string, string>> {
  return { authorization: `Bearer ${token}` };
}

describe('AUTH_READ_TOKEN', () => {
  test('reads everything, and changes nothing', async () => {
    const { client } = server;
    const put = { method: 'PUT', path: '/kv/a', body: 'v' };
    expect((await client.call({ ...put, headers: bearer(TOKEN) })).status).toBe(201);
    for (const path of ['/kv/a', '/cache/a', '/get?key=a', '/stats']) {
      for (const method of ['GET', 'HEAD']) {
        expect((await client.call({ method, path, headers: bearer(READ_TOKEN) })).status).toBe(200);
      }
    }
    const json = { ...bearer(READ_TOKEN), 'content-type': 'application/json' };
    for (const call of [
      { ...put, headers: bearer(READ_TOKEN) },
      { ...put, headers: bearer(READ_TOKEN), body: 'x'.repeat(2 ** 21) },
      { method: 'DELETE', path: '/kv/a', headers: bearer(READ_TOKEN) },
      { method: 'DELETE', path: '/cache/a', headers: bearer(READ_TOKEN) },
      { method: 'DELETE', path: '/cache', headers: bearer(READ_TOKEN) },
      { method: 'PUT', path: '/cache', headers: json, body: '{"key":"a","value":"w"}' },
      { method: 'POST', path: '/put', headers: json, body: '{"key":"a","value":"w"}' },
    ]) {
      expectError(await client.call(call), 403, 'CACHE_ERR_FORBIDDEN', /only read/);
    }
    expect((await client.get('/kv/a', bearer(READ_TOKEN))).text).toBe('v');
    expect((await client.call({ method: 'POST', path: '/none', headers: bearer(READ_TOKEN) })).status).toBe(
      404,
    );
  });

  test('is not taken without the other, nor if it is the same', () => {
    for (const env of [{ AUTH_READ_TOKEN: 'a' }, { AUTH_READ_TOKEN: 'a', AUTH_TOKEN: 'a' }]) {
      expect(readAccessFiles(testSettings(env))).toStrictEqual({
        faults: [expect.stringMatching(/^AUTH_READ_TOKEN: /)],
      });
    }
  });

  test('may be in a file', () => {
    const file = join(makeFolder(), 'token');
    writeFileSync(file, `${READ_TOKEN}\n`);
    const settings = testSettings({ AUTH_TOKEN: TOKEN, AUTH_READ_TOKEN_FILE: file });
    expect(readAccessFiles(settings)).toMatchObject({ authToken: TOKEN, readToken: READ_TOKEN });
    const both = testSettings({ AUTH_TOKEN: TOKEN, AUTH_READ_TOKEN: 'a', AUTH_READ_TOKEN_FILE: file });
    expect(readAccessFiles(both)).toStrictEqual({
      faults: [expect.stringMatching(/^AUTH_READ_TOKEN_FILE: /)],
    });
    writeFileSync(file, '');
    expect(readAccessFiles(settings)).toStrictEqual({
      faults: [expect.stringMatching(/^AUTH_READ_TOKEN_FILE: .*empty/)],
    });
  });
});

describe('Basic', () => {
  test.each([
    ['as the password', `user:${TOKEN}`, 404],
    ['as the user', `${TOKEN}:`, 404],
    ['as the user, with a password', `${TOKEN}:x`, 404],
    ['neither', 'user:password', 401],
    ['without a colon', TOKEN, 401],
    ['a part of it', `user:${TOKEN.slice(1)}`, 401],
    ['nothing', ':', 401],
  ])('the token %s', async (_name, text, status) => {
    for (const encoding of ['base64', 'base64url'] as const) {
      const authorization = `Basic ${Buffer.from(text).toString(encoding)}`;
      expect((await server.client.get('/kv/none', { authorization })).status).toBe(status);
    }
  });

  test('with the token that may only read', async () => {
    const authorization = `Basic ${Buffer.from(`user:${READ_TOKEN}`).toString('base64')}`;
    expect((await server.client.get('/kv/none', { authorization })).status).toBe(404);
    const put = await server.client.call({ method: 'PUT', path: '/kv/b', headers: { authorization } });
    expectError(put, 403, 'CACHE_ERR_FORBIDDEN');
  });
});
