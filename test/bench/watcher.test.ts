import { execFile } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { DEFAULT_EVENTS, Watcher, judgeScrapes } from '../../bench/http/watcher.ts';
import { ROOT } from '../readme/page.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

function portOf({ app }: TestServer): number {
  return (app.server.address() as AddressInfo).port;
}

function watch(port: number, path: string): { readonly watcher: Watcher; readonly errors: string[] } {
  const errors: string[] = [];
  const watcher = new Watcher(port, path, ({ message }) => errors.push(message));
  onTestFinished(() => watcher.stop());
  return { watcher, errors };
}

test('the stream that is read by default is there, and so are scrapes', async () => {
  await using server = await startTestServer({ SHARDS: '1' });
  const { watcher, errors } = watch(portOf(server), DEFAULT_EVENTS);
  await expect.poll(() => watcher.eventBytes, { timeout: 5000 }).toBeGreaterThan(0);
  await expect.poll(() => watcher.scrapeMs.length, { timeout: 5000 }).toBeGreaterThan(0);
  watcher.stop();
  expect(errors).toStrictEqual([]);
});

test('an answer other than 200, and none, are told', async () => {
  const server = await startTestServer({ SHARDS: '1' });
  const port = portOf(server);
  const wrong = watch(port, '/none');
  await expect.poll(() => wrong.errors).toContain('/none: was answered 404');
  await server[Symbol.asyncDispose]();
  const refused = watch(port, DEFAULT_EVENTS);
  await expect.poll(() => refused.errors[0]).toMatch(/^\/dashboard\/feed: .*ECONN(REFUSED|RESET)/);
});

test('npm run bench:observed ends with one line where the stream is not there', async () => {
  const args = ['bench/http/observed.ts', '--rounds', '1', '--events', '/none'];
  const ended = promisify(execFile)(process.execPath, args, { cwd: ROOT });
  await expect(ended).rejects.toMatchObject({ code: 1, stderr: '/none: was answered 404\n' });
});

test('scrapes are judged by their median', () => {
  expect(judgeScrapes([1, 2, 90])).toStrictEqual({
    isMet: true,
    text: '3 scrapes, median 2.0 ms: under the 5 ms that are allowed',
  });
  expect([judgeScrapes([6, 5, 4]).isMet, judgeScrapes([]).isMet]).toStrictEqual([false, false]);
});
