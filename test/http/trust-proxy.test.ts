import { describe, expect, onTestFinished, test } from 'vitest';
import { parseProxyList } from '../../src/config/proxy-list.ts';
import { isTrustedProxy, trustProxyOption } from '../../src/http/trust-proxy.ts';
import { HttpClient } from '../support/http-client.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

const RATE = 3;

async function start(env: Readonly<Record<string, string>>): Promise<TestServer> {
  return startTestServer({ SHARDS: '1', RATE_LIMIT: String(RATE), ...env });
}

/** Asks as often as one client may, with these headers in turn, and once more. @returns the statuses. */
async function askTooOften(
  { client }: { readonly client: HttpClient },
  forwardedFor: readonly string[],
  localAddress = '127.0.0.1',
): Promise<number[]> {
  const statuses = [];
  for (let i = 0; i <= RATE; i++) {
    const headers = { 'x-forwarded-for': forwardedFor[i % forwardedFor.length] };
    statuses.push((await client.call({ path: '/cache/none', headers, localAddress })).status);
  }
  return statuses;
}

const SERVED = [404, 404, 404, 404];
const LIMITED = [404, 404, 404, 429];

describe('TRUST_PROXY', () => {
  test.each<readonly [what: string, trustProxy: string, forwardedFor: readonly string[], statuses: number[]]>(
    [
      ['without it the header means nothing', '', ['1.1.1.1', '2.2.2.2'], LIMITED],
      ['the header of a peer that is no proxy means nothing', '10.0.0.0/8', ['1.1.1.1', '2.2.2.2'], LIMITED],
      ['clients behind a proxy are counted apart', '127.0.0.1', ['1.1.1.1', '2.2.2.2'], SERVED],
      ['one client behind a proxy is counted', 'loopback', ['1.1.1.1'], LIMITED],
      [
        'what a client has written itself does not count',
        'loopback',
        ['7.7.7.7, 1.1.1.1', '8.8.8.8, 1.1.1.1'],
        LIMITED,
      ],
      ['behind two proxies', 'loopback, 10.0.0.0/8', ['1.1.1.1, 10.0.0.1', '2.2.2.2, 10.0.0.2'], SERVED],
      [
        'one client by way of two proxies',
        'loopback, uniquelocal',
        ['1.1.1.1, 10.0.0.1', '1.1.1.1, fd00::1'],
        LIMITED,
      ],
      [
        'a port does not make another client',
        'loopback',
        ['1.1.1.1:1000', '1.1.1.1:1001', '1.1.1.1'],
        LIMITED,
      ],
      [
        'nor does one of a proxy',
        'loopback,10.0.0.1',
        ['1.1.1.1, 10.0.0.1:1', '2.2.2.2, 10.0.0.1:2'],
        SERVED,
      ],
      [
        'IPv4 in IPv6 is the same client',
        'loopback',
        ['1.1.1.1', '::ffff:1.1.1.1', '[::ffff:101:101]:80'],
        LIMITED,
      ],
      [
        'and the same proxy',
        '::ffff:127.0.0.0/104,10.0.0.1',
        ['1.1.1.1, ::ffff:10.0.0.1', '2.2.2.2'],
        SERVED,
      ],
      [
        'one way of writing an IPv6 address',
        'loopback',
        ['2001:db8::1', '2001:0DB8:0::0:1', '[2001:db8::1]:9'],
        LIMITED,
      ],
      [
        'what is no address counts for the proxy',
        'loopback',
        ['unknown', '_a', 'x'.repeat(8000), '1.2.3'],
        LIMITED,
      ],
      ['an empty header, too', 'loopback', ['', ' , ,'], LIMITED],
    ],
  )('%s', async (_what, trustProxy, forwardedFor, statuses) => {
    await using server = await start({ TRUST_PROXY: trustProxy });
    expect(await askTooOften(server, forwardedFor)).toStrictEqual(statuses);
  });

  test('a proxy over IPv6, and one that reaches a socket of both kinds over IPv4', async () => {
    await using server = await start({ HOST: '::', TRUST_PROXY: '::1, 127.0.0.1' });
    const overIpv6 = new HttpClient(server.port, undefined, '::1');
    onTestFinished(() => overIpv6.close());
    expect(await askTooOften({ client: overIpv6 }, ['1.1.1.1', '2.2.2.2'], '::1')).toStrictEqual(SERVED);
    expect(await askTooOften(server, ['3.3.3.3', '4.4.4.4'])).toStrictEqual(SERVED);
    // Not a proxy: all of its requests are its own.
    expect(await askTooOften(server, ['5.5.5.5', '6.6.6.6'], '127.0.0.2')).toStrictEqual(LIMITED);
  });
});

test.each([
  ['', '127.0.0.1', false],
  ['127.0.0.1', '127.0.0.1', true],
  ['127.0.0.1', '::ffff:127.0.0.1', true],
  ['127.0.0.1', '127.0.0.2', false],
  ['linklocal', 'fe80::1%eth0', true],
  ['loopback', undefined, false],
])('isTrustedProxy: %j holds %j: %j', (text, remoteAddress, expected) => {
  const trustedProxies = parseProxyList(text) ?? undefined;
  const request = { server: { trustedProxies }, raw: { socket: { remoteAddress } } };
  expect(isTrustedProxy(request as never)).toBe(expected);
});

test('without proxies Fastify is not asked to look for any', () => {
  expect(trustProxyOption(undefined)).toBe(false);
});
