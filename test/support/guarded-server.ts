import { type RequestListener, type Server, createServer } from 'node:http';
import { type ConnectionLimits, Connections } from '../../src/http/connections.ts';
import { DirectRequest } from '../../src/http/direct-request.ts';
import { type DoorLimits, FrontDoor } from '../../src/http/intake/front-door.ts';
import { Traffic } from '../../src/metrics/traffic.ts';

const LIMITS: ConnectionLimits = {
  stalledTimeoutMs: 1000,
  most: 100,
  mostUnreadBytes: 100,
  mostHeldBytes: 100,
  isHeapFull: () => false,
};

export interface GuardedServer {
  readonly server: Server;
  readonly connections: Connections;
  readonly door: FrontDoor;
  readonly traffic: Traffic;
}

/** Node's server behind the door, without Fastify. */
export function guardedServer(
  onRequest: RequestListener,
  {
    limits = {},
    doorLimits = { maxConnections: 100, reserve: 0, waiting: 0 },
    nowMs = () => performance.now(),
  }: {
    readonly limits?: Partial<ConnectionLimits>;
    readonly doorLimits?: DoorLimits;
    readonly nowMs?: () => number;
  } = {},
): GuardedServer {
  const server = createServer({ IncomingMessage: DirectRequest });
  const traffic = new Traffic(() => undefined);
  const connections = new Connections({ ...LIMITS, ...limits }, nowMs, traffic);
  const door = new FrontDoor(doorLimits, connections, nowMs, traffic);
  door.guard(server, onRequest, onRequest);
  return { server, connections, door, traffic };
}
