import { BlockList, isIP } from 'node:net';

/** Names for ranges of addresses, as Express and Fastify have them. */
const NAMED_RANGES: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1/128'],
  linklocal: ['169.254.0.0/16', 'fe80::/10'],
  uniquelocal: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
};

/**
 * Reads a list of addresses, CIDR ranges and names of ranges, separated by commas.
 * @returns the addresses that it names, undefined when it names none, or null when it cannot be read.
 */
export function parseProxyList(text: string): BlockList | undefined | null {
  if (text === '') return undefined;
  const list = new BlockList();
  const items = text.split(',').map((item) => item.trim().toLowerCase());
  for (const item of items.flatMap((one) => NAMED_RANGES[one] ?? [one])) {
    if (!addRange(list, item)) return null;
  }
  return list;
}

function addRange(list: BlockList, item: string): boolean {
  const [address, prefix, ...rest] = item.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  const longestPrefix = version === 4 ? 32 : 128;
  if (prefix !== undefined && !(/^\d+$/.test(prefix) && Number(prefix) <= longestPrefix)) return false;
  list.addSubnet(address, Number(prefix ?? longestPrefix), version === 4 ? 'ipv4' : 'ipv6');
  return true;
}
