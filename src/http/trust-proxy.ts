import type { FastifyRequest } from 'fastify';
import { type BlockList, SocketAddress, isIP } from 'node:net';

declare module 'fastify' {
  interface FastifyInstance {
    /** The proxies whose forwarded headers are believed. */
    trustedProxies: BlockList | undefined;
  }
}

/** Whether the peer of a request is a trusted proxy. */
export function isTrustedProxy({ server, raw }: FastifyRequest): boolean {
  const { trustedProxies } = server;
  return trustedProxies !== undefined && includes(trustedProxies, raw.socket.remoteAddress);
}

/**
 * Fastify's `trustProxy`. Fastify follows `X-Forwarded-For` from the peer backwards for as long as this trusts the address.
 * With false, it ignores the header.
 */
export function trustProxyOption(
  trustedProxies: BlockList | undefined,
): false | ((address: string) => boolean) {
  return trustedProxies === undefined ? false : (address) => includes(trustedProxies, address);
}

/**
 * The address of the client, in canonical form: with or without a port, as IPv4 or as IPv4 in IPv6, it is the same client.
 */
export function clientAddress(request: FastifyRequest): string {
  const { remoteAddress = '' } = request.raw.socket;
  // A trusted proxy may pass on any text that its client wrote. Text that is not an address is ignored.
  return canonicalAddress(request.ip) ?? canonicalAddress(remoteAddress) ?? remoteAddress;
}

function includes(list: BlockList, text: string | undefined): boolean {
  const address = canonicalAddress(text);
  return address !== undefined && list.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6');
}

const IPV4_WITH_PORT = /^(\d+\.\d+\.\d+\.\d+):\d+$/;
const IPV6_IN_BRACKETS = /^\[([^\]]+)\](?::\d+)?$/;
const IPV4_IN_IPV6 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/;

/** @returns undefined if the text is no address. */
function canonicalAddress(text = ''): string | undefined {
  const address = IPV4_WITH_PORT.exec(text)?.[1] ?? IPV6_IN_BRACKETS.exec(text)?.[1] ?? text;
  const version = isIP(address);
  if (version === 0) return undefined;
  if (version === 4) return address;
  const { address: short } = new SocketAddress({ address, family: 'ipv6' });
  return IPV4_IN_IPV6.exec(short)?.[1] ?? short;
}
