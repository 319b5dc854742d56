import type { FastifyRequest } from 'fastify';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createApp } from '../../src/http/app.ts';
import { forwardedPrefix } from '../../src/http/forwarded-prefix.ts';
import { HttpClient } from '../support/http-client.ts';
import { PrefixProxy } from '../support/prefix-proxy.ts';
import { startTestServer } from '../support/server.ts';

function prefixOf(header: string | undefined, isTrusted = true): string {
  const request = { headers: { 'x-forwarded-prefix': header } } as unknown as FastifyRequest;
  return forwardedPrefix(request, () => isTrusted);
}

describe('X-Forwarded-Prefix of a trusted proxy', () => {
  test.each([
    ['/prefix', '/prefix'],
    ['/a/b-c_d.e~f/0', '/a/b-c_d.e~f/0'],
    ['/prefix/', '/prefix'],
    ['/.hidden/...', '/.hidden/...'],
    [`/${'x'.repeat(255)}`, `/${'x'.repeat(255)}`],
  ])('%s is the prefix', (header, prefix) => {
    expect(prefixOf(header)).toBe(prefix);
    expect(prefixOf(header, false)).toBe('');
  });

  test.each([
    undefined,
    '',
    '/',
    'prefix',
    '//elsewhere.example',
    '/a//b',
    'https://elsewhere.example/',
    '/a/../b',
    '/..',
    '/./a',
    '/a/.',
    '/a b',
    '/a%2Fb',
    '/a?b',
    '/a#b',
    '/a, /b',
    '/a\\b',
    '/"><script>',
    '/\u00e9',
    '/a\n',
    `/${'x'.repeat(256)}`,
  ])('%j is none', (header) => {
    expect(prefixOf(header)).toBe('');
  });
});

async function serversBehind({ origin, prefix }: PrefixProxy): Promise<unknown> {
  const answer = await fetch(`${origin}${prefix}/openapi.json`);
  return ((await answer.json()) as { servers: unknown }).servers;
}

test('the document is served with the prefix of a trusted proxy, and of no other', async () => {
  await using server = await startTestServer({ SHARDS: '1' });
  const app = await createApp({
    router: server.router,
    version: '0.0.0',
    maxKeyLength: 256,
    maxValueBytes: 2 ** 20,
    gzipThresholdBytes: 1024,
    access: { token: undefined },
    isShuttingDown: () => false,
    rateLimit: 0,
    tls: undefined,
    bodyBudgetBytes: 2 ** 24,
    unreadBytes: 2 ** 22,
    heldBytes: 2 ** 22,
    mostTlsConnections: 10,
    collectEveryBytes: 2 ** 30,
    deadlineMs: 1000,
    stats: () => Promise.resolve({}),
    onUnexpectedError: (error) => expect.unreachable(String(error)),
    isTrustedProxy: ({ headers }) => headers['x-proxy'] === 'ours',
  });
  onTestFinished(() => app.close());
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const forwarded = { 'x-forwarded-prefix': '/team/cache' };
  const ours = await PrefixProxy.listening(port, '/team/cache', { ...forwarded, 'x-proxy': 'ours' });
  const theirs = await PrefixProxy.listening(port, '/team/cache', forwarded);
  expect(await serversBehind(ours)).toStrictEqual([{ url: '/team/cache' }]);
  expect(await serversBehind(theirs)).toStrictEqual([{ url: '/' }]);
  const client = new HttpClient(port);
  onTestFinished(() => client.close());
  expect((await client.get('/openapi.json')).text).toContain('"servers":[{"url":"/"}]');
});
