import { Chart } from './chart.js';
import { SPECS } from './chart-specs.js';
import { MAX_WINDOW_S } from './window.js';

/** @import { KeptEvent, Sample } from '../samples.ts' */

const MAX_ROWS = MAX_WINDOW_S + 10;
/** Where two samples lie further apart, nothing was read between them. */
const GAP_MS = 2500;

/** All charts: they share their samples, their time and their cursor. */
export class Charts {
  /** @type {Sample[]} */
  #samples = [];
  /** @type {KeptEvent[]} */
  #marks = [];
  /** @type {Chart[]} */
  #charts;

  constructor() {
    this.#charts = SPECS.map((spec) => new Chart(spec, this));
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      for (const chart of this.#charts) chart.build();
    });
  }

  get samples() {
    return this.#samples;
  }

  get marks() {
    return this.#marks;
  }

  /** @param {Sample} sample */
  add(sample) {
    const last = this.#samples.at(-1);
    // No line may cross a time without figures.
    if (last && sample.atMs - last.atMs > GAP_MS) this.#samples.push(nothingAt(last.atMs + 1000, sample));
    this.#samples.push(sample);
    this.#samples.splice(0, this.#samples.length - MAX_ROWS);
    for (const chart of this.#charts) chart.draw();
  }

  /** @param {readonly KeptEvent[]} events After a reconnect some of them may be there already. */
  addMarks(events) {
    const known = new Set(this.#marks.map(nameOf));
    const fresh = events.filter((event) => event.mark !== undefined && !known.has(nameOf(event)));
    if (fresh.length === 0) return;
    const oldestMs = fresh[fresh.length - 1].atMs - MAX_WINDOW_S * 1000;
    this.#marks = [...this.#marks, ...fresh].filter(({ atMs }) => atMs >= oldestMs);
  }
}

/** The numbers begin anew with the server. @param {KeptEvent} event */
function nameOf({ number, atMs }) {
  return `${number} ${atMs}`;
}

/**
 * @param {number} atMs
 * @param {Sample} sample
 * @returns {Sample}
 */
function nothingAt(atMs, sample) {
  const nothing = { gone: null, rates: null, hitRatio: null, latencyMs: null };
  const memory = { ...sample.memory, usedBytes: NaN, heldBytes: NaN };
  const tier = sample.tier && { ...sample.tier, rates: null };
  return { ...sample, ...nothing, atMs, memory, tier };
}
