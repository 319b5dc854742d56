import { setTimeout as delay } from 'node:timers/promises';
import { keyOf, randomUnit, valueOf } from '../lib/data.ts';
import { zipf } from './zipf.ts';

/** Together 450 MiB: more than the demo's server can hold. */
const KEYS = 10_000;
const MIN_VALUE_BYTES = 2 ** 10;
const MAX_VALUE_BYTES = 2 ** 18;
/** Few enough, with a pause after each lookup, that a browser on the same machine has its share of the processors. */
const USERS = 20;
const FILLING_PAUSE_MS = 10;
const FULL_PAUSE_MS = 40;

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
    while (!this.isOver()) {
      await this.lookUp(this.pickIndex(Math.random()));
      await delay(this.isFull ? FULL_PAUSE_MS : FILLING_PAUSE_MS);
    }
  }

  private async lookUp(index: number): Promise<void> {
    const key = keyOf(index);
    // Compressed forms would be kept in memory as well.
    const found = await this.send(`/cache/${key}`, { headers: { 'accept-encoding': 'identity' } });
    if (found !== 404) return;
    const bytes = MIN_VALUE_BYTES * (MAX_VALUE_BYTES / MIN_VALUE_BYTES) ** randomUnit(index, 1);
    await this.send('/cache', {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ key, value: valueOf(index, 0, Math.round(bytes)) }),
    });
  }

  private async send(path: string, request: RequestInit): Promise<number> {
    const response = await fetch(`${this.address}${path}`, request);
    await response.arrayBuffer();
    return response.status;
  }
}
