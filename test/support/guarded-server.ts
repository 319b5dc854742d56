import { type RequestListener, type Server, createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { Certificate } from '../../src/http/create-server.ts';
import { DirectRequest } from '../../src/http/fast/direct-request.ts';
import { type DoorLimits, FrontDoor } from '../../src/http/intake/front-door.ts';
import { type Holdings, Purse } from '../../src/http/intake/purse.ts';
import { type ConnectionPressureChange, Traffic } from '../../src/metrics/traffic.ts';

const LIMITS: Holdings = {
  requests: 100,
  unreadBytes: 100,
  bodyBytes: 100,
  unsentBytes: 100,
  adminAnswers: 1,
};

export interface GuardedServer {
  readonly server: Server;
  readonly purse: Purse;
  readonly door: FrontDoor;
  readonly traffic: Traffic;
  /** What was reported of refusals at the limit of connections. */
  readonly pressures: readonly ConnectionPressureChange[];
}

/** Node's server behind the door, without Fastify. */
export function guardedServer(
  onRequest: RequestListener,
  {
    limits = {},
    doorLimits = { maxConnections: 100, reserve: 0, waiting: 0, stalledTimeoutMs: 30_000 },
    isHeapFull = () => false,
    nowMs = () => performance.now(),
    tls,
  }: {
    readonly limits?: Partial<Holdings>;
    readonly doorLimits?: DoorLimits;
    readonly isHeapFull?: () => boolean;
    readonly nowMs?: () => number;
    readonly tls?: Certificate;
  } = {},
): GuardedServer {
  const options = { IncomingMessage: DirectRequest };
  const server = tls ? createSecureServer({ ...options, ...tls }) : createServer(options);
  const pressures: ConnectionPressureChange[] = [];
  const traffic = new Traffic({
    onSlow: () => undefined,
    onConnectionPressure: (change) => pressures.push(change),
  });
  const purse = new Purse({ limits: { ...LIMITS, ...limits }, deadlineMs: 1000, isHeapFull, nowMs });
  const door = new FrontDoor(doorLimits, purse, nowMs, traffic);
  door.guard(server, onRequest, onRequest);
  return { server, purse, door, traffic, pressures };
}
