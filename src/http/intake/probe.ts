import type { IncomingMessage } from 'node:http';

const PROBE = /^\/(?:health|ready)(?:\?|$)/;

/** What an orchestrator asks must be answered whoever else asks, however often. */
export function isProbe({ url }: IncomingMessage): boolean {
  return PROBE.test(url!);
}
