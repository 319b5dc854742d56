import { readFileSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeFolder } from '../support/folder.ts';
import { isInstalled, runProgram } from '../support/run.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const MIB = 2 ** 20;
const TEXT = 'a text that is worth compressing. '.repeat(200);

describe.runIf(isInstalled('curl'))('curl', () => {
  let server: TestServer;

  beforeAll(async () => {
    server = await startTestServer({ SHARDS: '1', MAX_RAW_BYTES: '8mb' });
  });

  afterAll(() => server[Symbol.asyncDispose]());

  function curl(cwd: string, ...args: readonly string[]): Promise<string> {
    const last = args.at(-1)!;
    const url = `http://127.0.0.1:${server.port}${last}`;
    return runProgram('curl', ['--silent', '--show-error', ...args.slice(0, -1), url], { cwd });
  }

  /** Writes only the status. */
  const STATUS = ['--output', 'answer', '--write-out', '%{http_code}'];

  test.each([0, 1, 100_000, 5 * MIB])('-T, and back: %i bytes', async (size) => {
    const folder = makeFolder();
    const bytes = randomBytes(size);
    writeFileSync(join(folder, 'photo.jpg'), bytes);
    for (const [path, more] of [
      [`/kv/photos/${size}`, []],
      [`/kv/photos/chunked/${size}`, ['-H', 'transfer-encoding: chunked']],
    ] as const) {
      // curl 7.88 does not end a chunked body that is empty.
      if (size === 0 && more.length > 0) continue;
      expect(await curl(folder, ...STATUS, '-T', 'photo.jpg', ...more, path)).toBe('201');
      await curl(folder, '--output', 'copy.jpg', path);
      expect(readFileSync(join(folder, 'copy.jpg')).equals(bytes)).toBe(true);
    }
  });

  test('a file that is too large is not sent', async () => {
    const folder = makeFolder();
    writeFileSync(join(folder, 'large'), Buffer.alloc(9 * MIB));
    const format = ['--output', 'answer', '--write-out', '%{http_code} %{size_upload}'];
    expect(await curl(folder, ...format, '-T', 'large', '/kv/large')).toBe('413 0');
  });

  test('--compressed', async () => {
    const folder = makeFolder();
    await curl(folder, '-X', 'PUT', '-H', 'content-type: text/plain', '--data-binary', TEXT, '/kv/text');
    const format = ['--output', 'text', '--write-out', '%{size_download} %header{content-encoding}'];
    const [bytes, encoding] = (await curl(folder, ...format, '--compressed', '/kv/text')).split(' ');
    expect([encoding, Number(bytes) < TEXT.length / 4]).toStrictEqual(['gzip', true]);
    expect(readFileSync(join(folder, 'text'), 'latin1')).toBe(TEXT);
  });

  test('--etag-save and --etag-compare', async () => {
    const folder = makeFolder();
    await curl(folder, '-X', 'PUT', '--data-binary', 'one', '/kv/tagged');
    expect(await curl(folder, '--etag-save', 'tag', '/kv/tagged')).toBe('one');
    expect(await curl(folder, ...STATUS, '--etag-compare', 'tag', '/kv/tagged')).toBe('304');
    await curl(folder, '-X', 'PUT', '--data-binary', 'two', '/kv/tagged');
    expect(await curl(folder, '--etag-compare', 'tag', '/kv/tagged')).toBe('two');
  });
});
