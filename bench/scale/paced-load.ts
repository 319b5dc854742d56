import { createHistogram } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'undici';

/** Latencies since a request was due. The timers of the load add up to a millisecond. */
export interface PacedSample {
  readonly p50Micros: number;
  readonly p99Micros: number;
}

/** Connections that each send one request per interval, however fast the server is. It is not driven to its limit. */
export class PacedLoad {
  private readonly clients: readonly Client[];
  private readonly path: string;

  /** @param path of a GET that answers 200. */
  constructor(port: number, path: string, connections: number) {
    const origin = `http://127.0.0.1:${port}`;
    this.clients = Array.from({ length: connections }, () => new Client(origin));
    this.path = path;
  }

  /**
   * @param perSecond requests, on all connections together. Each connection starts at a random point of its interval.
   * @throws Error if an answer is not 200.
   */
  async run(perSecond: number, seconds: number, random: () => number = Math.random): Promise<PacedSample> {
    const latencies = createHistogram({ lowest: 1, highest: 60_000_000, figures: 3 });
    const intervalMs = (this.clients.length / perSecond) * 1_000;
    const endMs = performance.now() + seconds * 1_000;
    const send = async (client: Client): Promise<void> => {
      let dueMs = performance.now() + random() * intervalMs;
      for (; dueMs < endMs; dueMs += intervalMs) {
        const waitMs = dueMs - performance.now();
        // A timer of a fraction of a millisecond fires too early.
        if (waitMs > 0) await delay(Math.ceil(waitMs));
        const { statusCode, body } = await client.request({ path: this.path, method: 'GET' });
        await body.dump();
        if (statusCode !== 200) throw new Error(`${this.path}: status ${statusCode}`);
        // Since it was due: a request that waited for the one before it has waited, too.
        latencies.record(Math.max(1, Math.round((performance.now() - dueMs) * 1_000)));
      }
    };
    await Promise.all(this.clients.map(send));
    return { p50Micros: latencies.percentile(50), p99Micros: latencies.percentile(99) };
  }

  async close(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.destroy()));
  }
}
