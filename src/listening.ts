import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { type AddressInfo, createServer, isIP, isIPv6 } from 'node:net';

/** The server cannot listen. The message is a line that names the setting that is at fault. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
  /** True if a setting must be changed. False if the same settings may work later. */
  readonly isConfiguration: boolean;

  constructor(message: string, { isConfiguration }: { readonly isConfiguration: boolean }) {
    super(message);
    this.isConfiguration = isConfiguration;
  }
}

export interface ListenAddress {
  readonly address: string;
  /** Other addresses of the same name. The server does not listen on them. */
  readonly others: readonly string[];
}

export type Lookup = (host: string) => Promise<readonly { readonly address: string }[]>;

const systemLookup: Lookup = (host) => lookup(host, { all: true, order: 'ipv4first' });

/**
 * Finds the one address that HOST means. A name may have several; each address would need a server of its own, with
 * bounds of its own.
 * @throws ListenError
 */
export async function resolveHost(host: string, lookUp: Lookup = systemLookup): Promise<ListenAddress> {
  if (isIP(host) !== 0) return { address: host, others: [] };
  try {
    const found = await lookUp(host);
    const [address, ...others] = new Set(found.map((one) => one.address));
    return { address, others };
  } catch (error) {
    throw hostError(host, error);
  }
}

/** The addresses that stand for all interfaces, and those by which this machine then reaches itself. */
const LOOPBACKS: Readonly<Record<string, string | undefined>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

export interface ServerUrls {
  /** With the address that is bound. */
  readonly bound: string;
  /** One at which this machine reaches it: the same, unless all interfaces are bound. */
  readonly address: string;
  readonly isOnAllInterfaces: boolean;
}

export function urlsOf({ address, port }: AddressInfo, isSecure: boolean): ServerUrls {
  const urlOf = (host: string): string =>
    `http${isSecure ? 's' : ''}://${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const loopback = LOOPBACKS[address];
  return {
    bound: urlOf(address),
    address: urlOf(loopback ?? address),
    isOnAllInterfaces: loopback !== undefined,
  };
}

/**
 * Finds a port that nobody listens on. Sockets that share a port (`SO_REUSEPORT`) would share it with those of another
 * process as well, and nobody would notice.
 * @param port 0 for any free one.
 * @throws as `listen` does: `listenError` says what it means.
 */
export async function findFreePort(host: string, port: number): Promise<number> {
  const server = createServer().listen({ host, port });
  await once(server, 'listening');
  const { port: found } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return found;
}

/** What the system says when an address is not one of this machine's. */
const BAD_ADDRESS_CODES = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL']);

/** @returns an error that names the setting at fault, or the error of `listen` itself if no setting is at fault. */
export function listenError(host: string, port: number, error: unknown): unknown {
  const code = codeOf(error);
  if (BAD_ADDRESS_CODES.has(code)) return hostError(host, error);
  if (code === 'EADDRINUSE') {
    const line = `PORT: "${port}" is in use by another process (${code}); allowed: a port that is free on ${host}`;
    return new ListenError(line, { isConfiguration: false });
  }
  if (code === 'EACCES' || code === 'EPERM') {
    const line = `PORT: "${port}" is not permitted to this user (${code}); allowed: 1024 to 65535, or 0`;
    return new ListenError(line, { isConfiguration: true });
  }
  if (code === 'ENOTSUP') {
    const line = `FRONTS: this system does not share one port out among several threads (${code}); allowed: 1`;
    return new ListenError(line, { isConfiguration: true });
  }
  return error;
}

function hostError(host: string, error: unknown): ListenError {
  const line = `HOST: ${JSON.stringify(host)} is not allowed (${codeOf(error)}); allowed: an address or host name of this machine`;
  return new ListenError(line, { isConfiguration: true });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
