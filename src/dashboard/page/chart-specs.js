import { formatBytes, formatCount, formatMs, formatShare } from './format.js';

/** @import { Sample } from '../samples.ts' */

/**
 * @typedef {object} Series
 * @property {string} name
 * @property {string} color Of a custom property of the style sheet, without its dashes.
 * @property {(sample: Sample) => number | null} value
 * @property {boolean} [isFilled]
 * @property {(sample: Sample) => string} [detail] What stands behind the value.
 *
 * @typedef {object} Level A horizontal line.
 * @property {string} name
 * @property {string} color
 * @property {(sample: Sample) => number} value
 * @property {'left' | 'right'} side Where its name stands.
 *
 * @typedef {object} ChartSpec
 * @property {string} id
 * @property {string} title
 * @property {number} height
 * @property {(value: number | null | undefined) => string} format
 * @property {(value: number) => string} [formatTick] As `format` when absent.
 * @property {Series[]} series
 * @property {Level[]} [levels]
 * @property {boolean} [hasMarks]
 * @property {(last: Sample | undefined, most: number) => [number, number]} range
 * @property {(min: number, max: number) => number[]} splits
 * @property {boolean} [isLogarithmic]
 */

const MIN_MS = 0.05;

/** @type {ChartSpec[]} */
export const SPECS = [
  {
    id: 'memory',
    title: 'Memory',
    height: 280,
    format: formatBytes,
    series: [
      { name: 'in use', color: 'used', value: ({ memory }) => memory.usedBytes, isFilled: true },
      { name: 'held by shards', color: 'held', value: ({ memory }) => memory.heldBytes },
    ],
    levels: [
      { name: 'limit', color: 'limit', value: ({ memory }) => memory.limitBytes, side: 'left' },
      { name: 'threshold', color: 'threshold', value: ({ memory }) => memory.thresholdBytes, side: 'left' },
      { name: 'ceiling of shards', color: 'held', value: ({ memory }) => memory.ceilingBytes, side: 'right' },
    ],
    hasMarks: true,
    range: (last) => [0, (last?.memory.limitBytes ?? 2 ** 20) * 1.08],
    splits: (_min, max) => steps(max, 2 ** Math.max(0, Math.ceil(Math.log2(max / 5)))),
  },
  {
    id: 'requests',
    title: 'Requests per second',
    height: 190,
    format: formatCount,
    series: [
      { name: 'get', color: 'used', value: ({ rates }) => rates?.get ?? null, isFilled: true },
      { name: 'put', color: 'held', value: ({ rates }) => rates?.put ?? null },
      { name: 'delete', color: 'threshold', value: ({ rates }) => rates?.delete ?? null },
      {
        name: 'refused',
        color: 'limit',
        value: ({ rates }) => rates?.refused ?? null,
        detail: ({ rates }) => reasonsOf(rates?.refusedBy ?? {}),
      },
    ],
    range: (_last, most) => [0, Math.max(10, most * 1.15)],
    splits: (_min, max) => steps(max, niceStep(max / 5)),
  },
  {
    id: 'latency',
    title: 'Latency',
    height: 190,
    format: formatMs,
    formatTick: (ms) => (ms < 1000 ? `${ms} ms` : `${ms / 1000} s`),
    series: [
      { name: 'median', color: 'used', value: ({ latencyMs }) => atLeast(latencyMs?.p50) },
      { name: '95 %', color: 'held', value: ({ latencyMs }) => atLeast(latencyMs?.p95) },
      { name: '99 %', color: 'shed', value: ({ latencyMs }) => atLeast(latencyMs?.p99) },
    ],
    range: (_last, most) => [MIN_MS, Math.max(10, 10 ** Math.ceil(Math.log10(most || 1)))],
    splits: (min, max) => [0.1, 1, 10, 100, 1000, 10_000].filter((ms) => ms >= min && ms <= max),
    isLogarithmic: true,
  },
  {
    id: 'hits',
    title: 'Hit ratio',
    height: 190,
    format: formatShare,
    series: [
      {
        name: 'reads that found their entry',
        color: 'used',
        value: ({ hitRatio }) => hitRatio,
        isFilled: true,
      },
    ],
    range: () => [0, 1.08],
    splits: () => [0, 0.25, 0.5, 0.75, 1],
  },
  {
    id: 'tier',
    title: 'Engine, per second',
    height: 190,
    format: formatCount,
    series: [
      {
        name: 'near hits',
        color: 'used',
        value: ({ tier }) => tier?.rates?.nearHits ?? null,
        isFilled: true,
      },
      { name: 'engine hits', color: 'held', value: ({ tier }) => tier?.rates?.hits ?? null },
      { name: 'misses', color: 'shed', value: ({ tier }) => tier?.rates?.misses ?? null },
      { name: 'invalidations', color: 'threshold', value: ({ tier }) => tier?.rates?.invalidations ?? null },
    ],
    range: (_last, most) => [0, Math.max(10, most * 1.15)],
    splits: (_min, max) => steps(max, niceStep(max / 5)),
  },
];

/** @param {Readonly<Record<string, number>>} refusedBy */
function reasonsOf(refusedBy) {
  const reasons = Object.entries(refusedBy).map(
    ([reason, rate]) => `${reason.replaceAll('_', ' ')} ${formatCount(rate)}`,
  );
  return reasons.length === 0 ? '' : ` (${reasons.join(', ')})`;
}

/** On a logarithmic scale there is no 0. @param {number | undefined} ms */
function atLeast(ms) {
  return ms === undefined ? null : Math.max(MIN_MS, ms);
}

/**
 * @param {number} max
 * @param {number} step
 */
function steps(max, step) {
  return Array.from({ length: Math.floor(max / step) + 1 }, (_, i) => i * step);
}

/** The next of 1, 2, 5, 10, 20, … @param {number} least */
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return ([1, 2, 5].find((factor) => factor * power >= least) ?? 10) * power;
}
