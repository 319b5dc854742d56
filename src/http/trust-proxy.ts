import type { FastifyRequest } from 'fastify';
import { type BlockList, SocketAddress, isIP } from 'node:net';

declare module 'fastify' {
  interface FastifyInstance {
    /** The proxies whose forwarded headers count; undefined when there are none. */
    trustedProxies: BlockList | undefined;
  }
}

/** Whether the peer of a request is a proxy whose forwarded headers count. */
export function isTrustedProxy({ server, raw }: FastifyRequest): boolean {
  const { trustedProxies } = server;
  return trustedProxies !== undefined && includes(trustedProxies, raw.socket.remoteAddress);
}

/**
 * Fastify's `trustProxy`: it follows `X-Forwarded-For` from the peer backwards while the addresses are trusted ones.
 * Fastify looks at no such header when this is false.
 */
export function trustProxyOption(
  trustedProxies: BlockList | undefined,
): false | ((address: string) => boolean) {
  return trustedProxies === undefined ? false : (address) => includes(trustedProxies, address);
}

/**
 * The address of the client that a request came from, in one way of writing: the same client with and without a port,
 * or by IPv4 and IPv4 in IPv6, is one client.
 */
export function clientAddress(request: FastifyRequest): string {
  const { remoteAddress = '' } = request.raw.socket;
  // Not even a proxy that passes on what its client wrote may make a client of any text.
  return canonicalAddress(request.ip) ?? canonicalAddress(remoteAddress) ?? remoteAddress;
}

function includes(list: BlockList, text: string | undefined): boolean {
  const address = canonicalAddress(text);
  return address !== undefined && list.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6');
}

const IPV4_WITH_PORT = /^(\d+\.\d+\.\d+\.\d+):\d+$/;
const IPV6_IN_BRACKETS = /^\[([^\]]+)\](?::\d+)?$/;
const IPV4_IN_IPV6 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/;

/** @returns undefined when the text is no address. */
function canonicalAddress(text = ''): string | undefined {
  const address = IPV4_WITH_PORT.exec(text)?.[1] ?? IPV6_IN_BRACKETS.exec(text)?.[1] ?? text;
  const version = isIP(address);
  if (version === 0) return undefined;
  if (version === 4) return address;
  const { address: short } = new SocketAddress({ address, family: 'ipv6' });
  return IPV4_IN_IPV6.exec(short)?.[1] ?? short;
}
