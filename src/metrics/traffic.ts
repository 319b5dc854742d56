import type { ServerResponse } from 'node:http';
import { type Pressure, type PressureChange, nextPressure } from '../memory/pressure.ts';
import { type CutOff, type Refusal, RefusalCounts } from './refusals.ts';
import { RequestKinds } from './request-kinds.ts';
import { NO_STATUS, RequestTimes } from './request-times.ts';
import { type SlowRequest, SlowRequests } from './slow-requests.ts';

const REFUSAL: unique symbol = Symbol('why it was refused');

interface RefusedResponse extends ServerResponse {
  [REFUSAL]?: Refusal;
}

/** Newcomers are refused because all connections are in use, or no longer are. */
export type ConnectionPressureChange = PressureChange<'connections'>;

export interface TrafficReports {
  readonly onSlow: (request: SlowRequest) => void;
  /** @param limit of connections. */
  readonly onConnectionPressure: (change: ConnectionPressureChange, limit: number) => void;
}

/** Notes why a request is refused; it is counted when its response is closed. */
export function noteRefusal(response: RefusedResponse, refusal: Refusal): void {
  response[REFUSAL] = refusal;
}

/**
 * Counts what becomes of the requests and connections of one HTTP thread. Everything that `/metrics` says of them is kept
 * here, as numbers that several threads could add up.
 */
export class Traffic {
  readonly kinds = new RequestKinds();
  readonly times = new RequestTimes(this.kinds.all);
  readonly counts = new RefusalCounts();
  private readonly slow = new SlowRequests();
  private readonly reports: TrafficReports;
  private connectionPressure: Pressure | undefined;

  constructor(reports: TrafficReports) {
    this.reports = reports;
  }

  /** To be called once for each request, when its response is closed: the answer has left, or its client has. */
  answered(response: RefusedResponse, beganMs: number, nowMs: number): void {
    const { req: request, headersSent, statusCode } = response;
    const status = headersSent ? statusCode : NO_STATUS;
    const kind = this.kinds.of(request.method!, request.url!);
    const tookMs = nowMs - beganMs;
    this.times.record(kind, status, tookMs);
    if (status >= 400) {
      const refusal = response[REFUSAL];
      if (refusal !== undefined) this.counts.refusals[refusal]++;
    }
    const slow = this.slow.notice(this.kinds.all[kind], status, tookMs, nowMs);
    if (slow) this.reports.onSlow(slow);
  }

  /** The server closes a connection that its client would have kept. */
  cutOff(why: CutOff): void {
    this.counts.cutOffs[why]++;
  }

  /**
   * To be called regularly.
   * @param hasRefused whether newcomers were refused since the last call because all connections are in use.
   */
  connectionsSwept(hasRefused: boolean, limit: number, nowMs: number): void {
    const { pressure, change } = nextPressure('connections', this.connectionPressure, hasRefused, nowMs);
    this.connectionPressure = pressure;
    if (change) this.reports.onConnectionPressure(change, limit);
  }
}
