import type { IncomingMessage } from 'node:http';

/** The paths that orchestrators ask. They are answered, however many other requests there are. */
export const PROBE_PATHS = { health: '/health', ready: '/ready' } as const;

const PROBE = new RegExp(`^(?:${Object.values(PROBE_PATHS).join('|')})(?:\\?|$)`);

/** Before Fastify has found the route, a request is known by its URL. */
export function isProbe({ url }: IncomingMessage): boolean {
  return PROBE.test(url!);
}
