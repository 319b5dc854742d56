import { Agent, type ClientRequest, type IncomingMessage, get } from 'node:http';
import { Agent as SecureAgent, get as getSecure } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';

/** The answer to a probe; 0 and a reason where there was none. */
export interface ProbeAnswer {
  readonly status: number;
  readonly tookMs: number;
  readonly reason: string;
}

/** As long as an orchestrator would wait at the most. */
const PATIENCE_MS = 5000;

/** Asks as an orchestrator does: each time on a fresh connection, from the beginning of its handshake. */
export function probe(port: number, path: string, ca?: string): Promise<ProbeAnswer> {
  const beganMs = performance.now();
  return new Promise((resolve) => {
    const settle = (status: number, reason: string): void =>
      resolve({ status, reason, tookMs: Math.round(performance.now() - beganMs) });
    const onResponse = (response: IncomingMessage): void => {
      response.resume().once('end', () => settle(response.statusCode!, ''));
    };
    const address = { host: '127.0.0.1', port, path };
    const sent: ClientRequest =
      ca === undefined
        ? get({ ...address, agent: new Agent() }, onResponse)
        : getSecure({ ...address, agent: new SecureAgent({ ca, maxCachedSessions: 0 }) }, onResponse);
    sent.setTimeout(PATIENCE_MS, () => sent.destroy(new Error('no answer')));
    sent.on('error', (error) => settle(0, error.message));
  });
}

/** Asks a number of times, at equal intervals, whether or not those before have been answered. */
export async function probeOften(
  times: number,
  intervalMs: number,
  ask: (n: number) => Promise<ProbeAnswer>,
): Promise<ProbeAnswer[]> {
  const answers: Promise<ProbeAnswer>[] = [];
  for (let i = 0; i < times; i++) {
    answers.push(ask(i));
    await delay(intervalMs);
  }
  return Promise.all(answers);
}
