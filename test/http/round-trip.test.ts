import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cachePath, shortPath } from '../support/http-client.ts';
import { Random, printedSeed } from '../support/random.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const ALL_ASCII = Array.from({ length: 0x80 }, (_, code) => String.fromCharCode(code));
const PRINTABLE = ALL_ASCII.slice(0x20, 0x7f);
const FAMILIES = [
  { name: 'PUT /cache, GET /cache/{key}', method: 'PUT', put: '/cache', pathOf: cachePath },
  { name: 'POST /put, GET /get?key=', method: 'POST', put: '/put', pathOf: shortPath },
];

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(() => server[Symbol.asyncDispose]());

describe.each(FAMILIES)('$name', ({ method, put, pathOf }) => {
  async function checkRoundTrip(key: string, value: string): Promise<void> {
    const stored = await server.client.send(method, put, { key, value });
    expect([200, 201]).toContain(stored.status);
    const answer = await server.client.get(pathOf(key));
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toStrictEqual({ status: 'OK', key, value });
  }

  test('every ASCII character in a value, alone and between others', async () => {
    for (const character of ALL_ASCII) {
      await checkRoundTrip('value', character);
      await checkRoundTrip('value', `a${character}b${character}${character}`);
    }
    await checkRoundTrip('value', ALL_ASCII.join(''));
  });

  test('every printable character in a key, alone and between others', async () => {
    for (const character of PRINTABLE) {
      await checkRoundTrip(character, `value of ${character}`);
      await checkRoundTrip(`a${character}b${character}`, `value of ${character}`);
    }
    await checkRoundTrip(PRINTABLE.join(''), 'all');
  });

  test('every key keeps its own value', async () => {
    for (const character of PRINTABLE)
      await server.client.send(method, put, { key: character, value: character });
    for (const character of PRINTABLE) {
      const { value } = JSON.parse((await server.client.get(pathOf(character))).text) as { value: string };
      expect(value).toBe(character);
    }
  });

  test('characters written as escapes in the request are the characters', async () => {
    const escaped = ALL_ASCII.map((_, code) => `\\u${code.toString(16).padStart(4, '0')}`).join('');
    const body = `{"key":"\\u0061\\/b","value":"${escaped}"}`;
    await server.client.send(method, put, body);
    const answer = await server.client.get(pathOf('a/b'));
    expect(JSON.parse(answer.text)).toStrictEqual({ status: 'OK', key: 'a/b', value: ALL_ASCII.join('') });
  });

  test('random texts', async () => {
    const random = new Random(printedSeed('round trip'));
    for (let i = 0; i < 200; i++) {
      const length = random.whole(0, 2 ** random.whole(0, 14));
      const characters = Array.from({ length }, () => ALL_ASCII[random.whole(0, 0x7f)]);
      await checkRoundTrip(random.text(random.whole(1, 256)), characters.join(''));
    }
  });
});
