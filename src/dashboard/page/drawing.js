import { formatBytes } from './format.js';
import { thinned } from './window.js';

/**
 * @import { KeptEvent, Sample } from '../samples.ts'
 * @import { Level } from './chart-specs.js'
 */

const MARK_SIZE = 4;

/**
 * @param {uPlot} plot
 * @param {Level} level
 * @param {Sample} sample
 */
export function drawLevel(plot, { name, color, value, side }, sample) {
  const { ctx, bbox } = plot;
  const bytes = value(sample);
  const y = plot.valToPos(bytes, 'y', true);
  ctx.strokeStyle = colorOf(color);
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  line(ctx, bbox.left, y, bbox.left + bbox.width, y);
  ctx.setLineDash([]);
  ctx.fillStyle = colorOf(color);
  ctx.textAlign = side;
  ctx.textBaseline = 'bottom';
  const inset = 6 * devicePixelRatio;
  const x = side === 'left' ? bbox.left + inset : bbox.left + bbox.width - inset;
  const text = `${name} ${formatBytes(bytes)}`;
  // Readable whatever lies beneath it.
  ctx.strokeStyle = colorOf('panel');
  ctx.lineWidth = 4 * devicePixelRatio;
  ctx.lineJoin = 'round';
  ctx.strokeText(text, x, y - 3 * devicePixelRatio);
  ctx.fillText(text, x, y - 3 * devicePixelRatio);
}

/**
 * A bar at the bottom for each second in which entries were evicted. Its height is their number.
 * @param {uPlot} plot
 * @param {readonly Sample[]} samples
 * @param {number} windowS
 */
export function drawEvictions(plot, samples, windowS) {
  const { ctx, bbox } = plot;
  const most = Math.max(...samples.map(({ gone }) => gone?.evicted ?? 0));
  if (most === 0) return;
  const width = Math.max(devicePixelRatio, (bbox.width / windowS) * 0.8);
  ctx.fillStyle = colorOf('evicted');
  for (const { atMs, gone } of samples) {
    const x = plot.valToPos(atMs / 1000, 'x', true) - width;
    if (!gone || gone.evicted === 0 || x < bbox.left) continue;
    const height = (6 + (18 * gone.evicted) / most) * devicePixelRatio;
    ctx.fillRect(x, bbox.top + bbox.height - height, width, height);
  }
}

/**
 * At the top a triangle where shards shed, a cross where one died.
 * @param {uPlot} plot
 * @param {readonly KeptEvent[]} marks
 */
export function drawMarks(plot, marks) {
  const { ctx, bbox } = plot;
  const size = MARK_SIZE * devicePixelRatio;
  ctx.fillStyle = colorOf('shed');
  for (const x of thinned(placesOf(plot, marks, 'shed'), 2.5 * size)) {
    ctx.beginPath();
    ctx.moveTo(x - size, bbox.top - size);
    ctx.lineTo(x + size, bbox.top - size);
    ctx.lineTo(x, bbox.top + size);
    ctx.fill();
  }
  ctx.strokeStyle = colorOf('limit');
  ctx.lineWidth = 2 * devicePixelRatio;
  for (const x of thinned(placesOf(plot, marks, 'death'), 2.5 * size)) {
    line(ctx, x - size, bbox.top - size, x + size, bbox.top + size);
    line(ctx, x + size, bbox.top - size, x - size, bbox.top + size);
  }
}

/**
 * The lines of marks. They belong beneath the data, however many there are.
 * @param {uPlot} plot
 * @param {readonly KeptEvent[]} marks
 */
export function drawMarkLines(plot, marks) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.globalAlpha = 0.35;
  ctx.lineWidth = devicePixelRatio;
  for (const [mark, color] of /** @type {const} */ ([
    ['shed', 'shed'],
    ['death', 'limit'],
  ])) {
    ctx.strokeStyle = colorOf(color);
    for (const x of thinned(placesOf(plot, marks, mark), 5 * devicePixelRatio)) {
      line(ctx, x, bbox.top, x, bbox.top + bbox.height);
    }
  }
  ctx.restore();
}

/**
 * @param {uPlot} plot
 * @param {readonly KeptEvent[]} marks
 * @param {KeptEvent['mark']} wanted
 */
function placesOf(plot, marks, wanted) {
  const { left, width } = plot.bbox;
  return marks
    .filter(({ mark }) => mark === wanted)
    .map(({ atMs }) => plot.valToPos(atMs / 1000, 'x', true))
    .filter((x) => x >= left && x <= left + width);
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {number} x1
 * @param {number} y1
 * @param {number} x2
 * @param {number} y2
 */
function line(ctx, x1, y1, x2, y2) {
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  ctx.stroke();
}

/** @param {string} name */
export function colorOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
