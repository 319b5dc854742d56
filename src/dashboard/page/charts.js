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
    // A line across a time in which nothing was read would be invented.
    if (last && sample.atMs - last.atMs > GAP_MS) this.#samples.push(nothingAt(last.atMs + 1000, sample));
    this.#samples.push(sample);
    this.#samples.splice(0, this.#samples.length - MAX_ROWS);
    for (const chart of this.#charts) chart.draw();
  }

  /** @param {readonly KeptEvent[]} events All that are to be marked. */
  markAll(events) {
    this.#marks = events.filter(({ mark }) => mark !== undefined);
  }
}

/**
 * @param {number} atMs
 * @param {Sample} sample
 * @returns {Sample}
 */
function nothingAt(atMs, sample) {
  const nothing = { gone: null, rates: null, hitRatio: null, latencyMs: null };
  const memory = { ...sample.memory, usedBytes: NaN, heldBytes: NaN };
  return { ...sample, ...nothing, atMs, memory };
}
