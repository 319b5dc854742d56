import type { TierAddress } from '../shared/tier.ts';

/** What TIER_URL says. */
export interface TierUrl {
  readonly nodes: readonly TierAddress[];
  readonly isTls: boolean;
  readonly username: string;
  readonly password: string;
  readonly database: number;
}

const DEFAULT_PORT = 6379;

/**
 * Reads `redis://user:password@host:port/database`, with more hosts behind the first one, separated by commas. Each may
 * be a URL of its own, with the same credentials or none.
 * @returns undefined where there is none, null for what is no such URL.
 */
export function parseTierUrl(text: string): TierUrl | undefined | null {
  if (text === '') return undefined;
  const scheme = /^rediss?:\/\//.exec(text)?.[0];
  if (scheme === undefined) return null;
  const urls = text.split(',').map((part) => URL.parse(part.includes('://') ? part : scheme + part));
  if (!urls.every((url) => url !== null && isUsable(url, scheme))) return null;
  const [first, ...others] = urls as URL[];
  const [username, password] = [decoded(first.username), decoded(first.password)];
  if (username === undefined || password === undefined) return null;
  if (others.some((url) => isOther(url, first))) return null;
  const path = (others.at(-1) ?? first).pathname;
  return {
    nodes: [first, ...others].map(addressOf),
    isTls: scheme === 'rediss://',
    username,
    password,
    database: Number(path.slice(1)),
  };
}

function addressOf({ hostname, port }: URL): TierAddress {
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? DEFAULT_PORT : Number(port) };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function isUsable({ protocol, hostname, pathname, search, hash }: URL, scheme: string): boolean {
  const isPath = /^\/?\d{0,4}$/.test(pathname);
  return `${protocol}//` === scheme && hostname !== '' && isPath && search === '' && hash === '';
}

/** Credentials that differ from those of the first address would be ignored. */
function isOther({ username, password }: URL, first: URL): boolean {
  if (username === '' && password === '') return false;
  return username !== first.username || password !== first.password;
}
