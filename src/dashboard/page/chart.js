import { colorOf, drawEvictions, drawLevel, drawMarkLines, drawMarks } from './drawing.js';
import { formatDuration, formatTime } from './format.js';
import { formatAgo, ticksOf, windowOf } from './window.js';

/**
 * @import { KeptEvent, Sample } from '../samples.ts'
 * @import { ChartSpec, Series } from './chart-specs.js'
 */

/**
 * @typedef {object} History
 * @property {readonly Sample[]} samples Oldest first.
 * @property {readonly KeptEvent[]} marks
 */

const NO_CURSOR = { left: -10, top: -10 };

export class Chart {
  /** @type {ChartSpec} */
  #spec;
  /** @type {History} */
  #history;
  /** @type {HTMLElement} */
  #element;
  /** @type {HTMLElement[]} */
  #values;
  /** @type {HTMLElement[]} */
  #details;
  /** @type {HTMLElement} */
  #when;
  /** @type {uPlot | undefined} */
  #plot;

  /**
   * @param {ChartSpec} spec
   * @param {History} history
   */
  constructor(spec, history) {
    this.#spec = spec;
    this.#history = history;
    this.#element = /** @type {HTMLElement} */ (document.getElementById(`${spec.id}-chart`));
    const legend = /** @type {HTMLElement} */ (document.getElementById(`${spec.id}-legend`));
    this.#details = spec.series.map(() => document.createElement('span'));
    this.#values = spec.series.map(({ name, color }, i) => {
      const item = document.createElement('li');
      const value = document.createElement('b');
      const swatch = document.createElement('i');
      swatch.className = `swatch ${color}`;
      item.append(swatch, `${name} `, value, this.#details[i]);
      legend.insertBefore(item, legend.querySelector('.mark'));
      return value;
    });
    this.#when = document.createElement('li');
    this.#when.className = 'when';
    legend.append(this.#when);
    this.build();
    this.#element.addEventListener('keydown', (event) => this.#moveCursor(event));
    this.#element.addEventListener('blur', () => this.#plot?.setCursor(NO_CURSOR));
    new ResizeObserver(() => this.#resize()).observe(this.#element);
  }

  /** Makes the chart anew: its colours are read once. */
  build() {
    this.#plot?.destroy();
    this.#plot = new uPlot(this.#options(), this.#data(), this.#element);
    this.draw();
  }

  draw() {
    const last = this.#history.samples.at(-1);
    if (!this.#plot || !last) return;
    const max = last.atMs / 1000;
    const data = this.#data();
    this.#plot.setData(data, false);
    const most = Math.max(0, ...data.slice(1).flatMap((column) => [...column].map((value) => value ?? 0)));
    const [low, high] = this.#spec.range(last, most);
    this.#plot.batch(() => {
      this.#plot?.setScale('x', { min: max - this.#windowS, max });
      this.#plot?.setScale('y', { min: low, max: high });
    });
    this.#read(this.#plot.cursor.idx);
    this.#describe(last);
  }

  get #windowS() {
    const { samples } = this.#history;
    const [first, last] = [samples.at(0), samples.at(-1)];
    return windowOf(first && last ? (last.atMs - first.atMs) / 1000 : 0);
  }

  /** @returns {uPlot.AlignedData} */
  #data() {
    const { samples } = this.#history;
    const columns = this.#spec.series.map(({ value }) => samples.map((sample) => value(sample) ?? null));
    return [samples.map(({ atMs }) => atMs / 1000), ...columns.map((column) => column.map(numberOrNull))];
  }

  /** Shows the values under the cursor, the last ones without. @param {number | null | undefined} index */
  #read(index) {
    const { samples } = this.#history;
    const isPast = index !== null && index !== undefined && index < samples.length - 1;
    const sample = isPast ? samples[index] : samples.at(-1);
    if (!sample) return;
    for (const [i, { value, detail }] of this.#spec.series.entries()) {
      this.#values[i].textContent = this.#spec.format(numberOrNull(value(sample)));
      this.#details[i].textContent = detail?.(sample) ?? '';
    }
    this.#when.textContent = isPast
      ? [`at ${formatTime(sample.atMs)}`, ...this.#marksNear(sample)].join(': ')
      : '';
  }

  /** The arrow keys go from sample to sample, Home and End to the first and the last. @param {KeyboardEvent} event */
  #moveCursor(event) {
    const plot = this.#plot;
    const times = plot?.data[0] ?? [];
    const first = times.findIndex((at) => at >= (plot?.scales['x'].min ?? 0));
    const last = times.length - 1;
    if (!plot || first < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const index = plot.cursor.idx ?? last;
    /** @type {Record<string, number>} */
    const targets = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: first, End: last };
    const wanted = targets[event.key];
    if (wanted === undefined) return;
    event.preventDefault();
    const target = Math.min(last, Math.max(first, wanted));
    plot.setCursor({ left: plot.valToPos(times[target], 'x'), top: 1 });
    this.#tell(target);
  }

  /** Gives the values under the cursor to screen readers. @param {number} index */
  #tell(index) {
    const sample = this.#history.samples[index];
    const values = this.#spec.series.map(
      ({ name, value, detail }) =>
        `${name} ${this.#spec.format(numberOrNull(value(sample)))}${detail?.(sample) ?? ''}`,
    );
    const told = /** @type {HTMLElement} */ (document.getElementById('told'));
    told.textContent = `${formatTime(sample.atMs)}: ${[...values, ...this.#marksNear(sample)].join(', ')}`;
  }

  /** What happened then. @param {Sample} sample */
  #marksNear(sample) {
    if (!this.#spec.hasMarks) return [];
    const near = this.#history.marks.find(({ atMs }) => Math.abs(atMs - sample.atMs) < 1500);
    return near ? [near.message] : [];
  }

  /** For screen readers. @param {Sample} sample */
  #describe(sample) {
    const { title, series, levels = [], format } = this.#spec;
    const texts = [
      ...series.map(({ name, value }) => `${name} ${format(numberOrNull(value(sample)))}`),
      ...levels.map(({ name, value }) => `${name} ${format(value(sample))}`),
    ];
    this.#element.setAttribute(
      'aria-label',
      `${title} over the last ${formatDuration(this.#windowS)}. Now: ${texts.join(', ')}.`,
    );
  }

  #resize() {
    const width = this.#element.clientWidth;
    if (this.#plot && width > 0 && width !== this.#plot.width) {
      this.#plot.setSize({ width, height: this.#spec.height });
    }
  }

  /** @returns {uPlot.Options} */
  #options() {
    const { series, height, splits, format, formatTick = format, isLogarithmic } = this.#spec;
    const grid = { stroke: colorOf('grid'), width: 1 };
    const font = '12px system-ui, sans-serif';
    const axis = { stroke: colorOf('muted'), font, grid, ticks: { show: false } };
    return {
      width: Math.max(200, this.#element.clientWidth),
      height,
      padding: [14, 20, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, sync: { key: 'time' }, y: false, points: { size: 7 } },
      scales: {
        x: { time: true, auto: false, range: (_plot, min, max) => [min ?? 0, max ?? 1] },
        y: {
          auto: false,
          range: (_plot, min, max) => [min ?? 0, max ?? 1],
          ...(isLogarithmic && { distr: 3 }),
        },
      },
      axes: [
        {
          ...axis,
          size: 28,
          gap: 8,
          // They count from now: time passes beneath them.
          splits: (_plot, _axis, _min, max) => ticksOf(this.#windowS).map((agoS) => max - agoS),
          values: () => ticksOf(this.#windowS).map(formatAgo),
        },
        {
          ...axis,
          size: 68,
          gap: 8,
          splits: (_plot, _axis, min, max) => splits(min, max),
          filter: (_plot, at) => at,
          values: (_plot, at) => at.map((value) => (value === 0 ? '0' : formatTick(value))),
        },
      ],
      series: [{}, ...series.map(lineOf)],
      hooks: {
        drawAxes: [
          (plot) => {
            if (this.#spec.hasMarks) drawMarkLines(plot, this.#history.marks);
          },
        ],
        draw: [(plot) => this.#drawOver(plot)],
        setCursor: [(plot) => this.#read(plot.cursor.idx)],
      },
    };
  }

  /** @param {uPlot} plot */
  #drawOver(plot) {
    const last = this.#history.samples.at(-1);
    if (!last) return;
    const { ctx } = plot;
    ctx.save();
    ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    if (this.#spec.hasMarks) {
      drawEvictions(plot, this.#history.samples, this.#windowS);
      drawMarks(plot, this.#history.marks);
    }
    for (const level of this.#spec.levels ?? []) drawLevel(plot, level, last);
    ctx.restore();
  }
}

/** @param {number | null | undefined} value */
function numberOrNull(value) {
  return value === null || value === undefined || Number.isNaN(value) ? null : value;
}

/**
 * @param {Series} series
 * @returns {uPlot.Series}
 */
function lineOf({ name, color, isFilled }) {
  /** @type {uPlot.Series} */
  const line = {
    label: name,
    stroke: colorOf(color),
    width: 2,
    points: { show: true, size: 5, filter: lonePoints },
  };
  if (isFilled) line.fill = colorOf(`${color}-fill`);
  return line;
}

/**
 * A second with figures between two seconds without figures has no line: it is shown as a point.
 * @param {uPlot} plot
 * @param {number} series
 */
function lonePoints(plot, series) {
  const values = plot.data[series];
  const isKnown = (/** @type {number} */ i) => values[i] !== null && values[i] !== undefined;
  return Array.from(values, (_, i) => i).filter((i) => isKnown(i) && !isKnown(i - 1) && !isKnown(i + 1));
}
