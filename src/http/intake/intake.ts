import type { FastifyInstance } from 'fastify';
import type { Traffic } from '../../metrics/traffic.ts';
import type { GarbageMeter } from '../garbage-meter.ts';
import { Bodies } from './bodies.ts';
import { FrontDoor } from './front-door.ts';
import { LargeReplies } from './large-replies.ts';
import { type TrafficBytes, deriveDoorLimits, deriveHoldings, isHeapFull } from './limits.ts';
import { Purse } from './purse.ts';

declare module 'fastify' {
  interface FastifyInstance {
    frontDoor: FrontDoor;
    purse: Purse;
  }
}

export interface IntakeOptions extends TrafficBytes {
  /** Undefined without TLS. */
  readonly maxTlsConnections: number | undefined;
  /** A longer body is refused. */
  readonly bodyLimitBytes: number;
  readonly deadlineMs: number;
  readonly garbage: GarbageMeter;
  /** Told of what becomes of requests and connections. */
  readonly traffic: Traffic;
  /** Whether a large reply waits for the room of others. */
  readonly awaitsReplyRoom: () => boolean;
}

const SWEEP_INTERVAL_MS = 100;

const nowMs = (): number => performance.now();

/**
 * Bounds everything that clients make the process hold. The front door lets connections and requests in. The account of each
 * connection knows what it holds. The purse knows the sums over all accounts, and their limits. A sweep ends what has taken
 * too long.
 */
export class Intake {
  readonly purse: Purse;
  readonly door: FrontDoor;
  readonly bodies: Bodies;
  readonly largeReplies: LargeReplies;
  private readonly awaitsReplyRoom: () => boolean;

  constructor(options: IntakeOptions) {
    const { deadlineMs, bodyLimitBytes, garbage, maxTlsConnections, traffic, fronts } = options;
    const limits = deriveHoldings(options);
    const purse = new Purse({ limits, deadlineMs, isHeapFull, nowMs });
    this.purse = purse;
    const doorLimits = deriveDoorLimits(limits.requests, maxTlsConnections, fronts);
    this.door = new FrontDoor(doorLimits, purse, nowMs, traffic);
    this.bodies = new Bodies({ limitBytes: bodyLimitBytes, purse, garbage, deadlineMs, nowMs });
    this.largeReplies = new LargeReplies(deadlineMs, nowMs, () => traffic.cutOff('slow_answer'));
    this.awaitsReplyRoom = options.awaitsReplyRoom;
  }

  /** Reads bodies, and sweeps until the application closes. */
  register(app: FastifyInstance): void {
    app.decorate('frontDoor', this.door);
    app.decorate('purse', this.purse);
    this.bodies.register(app);
    const timer = setInterval(() => this.sweep(nowMs()), SWEEP_INTERVAL_MS).unref();
    app.addHook('onClose', () => clearInterval(timer));
  }

  sweep(sweptMs: number): void {
    this.bodies.sweep(sweptMs);
    if (this.awaitsReplyRoom()) this.largeReplies.sweep(sweptMs);
    this.door.sweep(sweptMs);
  }
}
