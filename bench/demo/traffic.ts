import { setTimeout as delay } from 'node:timers/promises';
import { keyOf, randomUnit, valueOf } from '../lib/data.ts';
import { zipf } from './zipf.ts';

/** Together 1.6 GiB: more than the demo's server can hold. */
const KEYS = 20_000;
const MIN_VALUE_BYTES = 2 ** 10;
const MAX_VALUE_BYTES = 2 ** 19;
/** Few enough, with a pause after each lookup, that a browser on the same machine has its share of the processors. */
const USERS = 20;
/** What all users put per second at most, and how long each pauses after a lookup at least. */
interface Pace {
  readonly bytesPerSecond: number;
  readonly pauseMs: number;
}
/** The first shed order comes after some 10 s. */
const FILLING: Pace = { bytesPerSecond: 28 * 2 ** 20, pauseMs: 8 };
/** An order frees some 20 MiB: the next one comes after 5 to 10 s. */
const FULL: Pace = { bytesPerSecond: 3 * 2 ** 20, pauseMs: 30 };
/** What a user put too little for longer than this is not made up for. */
const MAX_LAG_MS = 1000;

/** Users of a service that looks up each key in the cache first, and puts what it had to fetch elsewhere. */
export class Traffic {
  /** Memory has been over the threshold: from now on there is less traffic, so that one can watch the orders. */
  isFull = false;
  private readonly address: string;
  private readonly isOver: () => boolean;
  private readonly pickIndex = zipf(KEYS);

  constructor(address: string, isOver: () => boolean) {
    this.address = address;
    this.isOver = isOver;
  }

  /** @returns when the traffic is over, and each request has its answer. */
  async run(): Promise<void> {
    await Promise.all(Array.from({ length: USERS }, () => this.user()));
  }

  private async user(): Promise<void> {
    let dueMs = performance.now();
    while (!this.isOver()) {
      const putBytes = await this.lookUp(this.pickIndex(Math.random()));
      const { bytesPerSecond, pauseMs } = this.isFull ? FULL : FILLING;
      const nowMs = performance.now();
      dueMs = Math.max(dueMs, nowMs - MAX_LAG_MS) + (putBytes * USERS * 1000) / bytesPerSecond;
      await delay(Math.max(pauseMs, dueMs - nowMs));
    }
  }

  /** @returns how many bytes it put. */
  private async lookUp(index: number): Promise<number> {
    const key = keyOf(index);
    // Compressed forms would be kept in memory as well.
    const found = await this.send(`/cache/${key}`, { headers: { 'accept-encoding': 'identity' } });
    if (found !== 404) return 0;
    const ratio = MAX_VALUE_BYTES / MIN_VALUE_BYTES;
    const bytes = Math.round(MIN_VALUE_BYTES * ratio ** randomUnit(index, 1));
    await this.send('/cache', {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ key, value: valueOf(index, 0, bytes) }),
    });
    return bytes;
  }

  private async send(path: string, request: RequestInit): Promise<number> {
    const response = await fetch(`${this.address}${path}`, request);
    await response.arrayBuffer();
    return response.status;
  }
}
