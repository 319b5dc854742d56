import type { FastifyRequest } from 'fastify';
import { BlockList } from 'node:net';
import { describe, expect, test } from 'vitest';
import { forwardedPrefix } from '../../src/http/forwarded-prefix.ts';
import { PrefixProxy } from '../support/prefix-proxy.ts';
import { startTestServer } from '../support/server.ts';

function prefixOf(header: string | undefined, isTrusted = true): string {
  const trustedProxies = new BlockList();
  if (isTrusted) trustedProxies.addAddress('127.0.0.1');
  const request = {
    headers: { 'x-forwarded-prefix': header },
    server: { trustedProxies },
    raw: { socket: { remoteAddress: '127.0.0.1' } },
  };
  return forwardedPrefix(request as unknown as FastifyRequest);
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
  await using trusting = await startTestServer({ SHARDS: '1', TRUST_PROXY: '127.0.0.1' });
  await using others = await startTestServer({ SHARDS: '1', TRUST_PROXY: '192.0.2.1' });
  const forwarded = { 'x-forwarded-prefix': '/team/cache' };
  const trusted = await PrefixProxy.listening(trusting.port, '/team/cache', forwarded);
  const untrusted = await PrefixProxy.listening(others.port, '/team/cache', forwarded);
  expect(await serversBehind(trusted)).toStrictEqual([{ url: '/team/cache' }]);
  expect(await serversBehind(untrusted)).toStrictEqual([{ url: '/' }]);
  expect((await trusting.client.get('/openapi.json')).text).toContain('"servers":[{"url":"/"}]');
});
