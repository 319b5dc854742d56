export interface BarChart {
  readonly title: string;
  readonly unit: string;
  readonly groups: readonly {
    readonly label: string;
    readonly bars: readonly { readonly label: string; readonly value: number }[];
  }[];
}

export interface LineChart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly { readonly label: string; readonly points: readonly [number, number][] }[];
}

const WIDTH = 860;
const MARGIN = 24;
/** Told apart also by those who do not see all colours (Okabe and Ito), first the one that stands out. */
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#7f7f7f', '#b8a600'];
const INK = '#1f2328';
const FAINT = '#d0d7de';

/** Horizontal bars, one row each, in groups under a heading: long names stay readable. */
export function barChartSvg({ title, unit, groups }: BarChart): string {
  const barHeight = 20;
  const labels = [...new Set(groups.flatMap((group) => group.bars.map((bar) => bar.label)))];
  const left = MARGIN + 12 + Math.max(0, ...labels.map(textWidth));
  const room = WIDTH - left - MARGIN - 90;
  const largest = Math.max(0, ...groups.flatMap((group) => group.bars.map((bar) => bar.value)));
  const parts: string[] = [];
  let y = 64;
  for (const group of groups) {
    parts.push(text(MARGIN, y + 14, group.label, 'font-weight="600"'));
    y += 24;
    for (const { label, value } of group.bars) {
      const length = largest > 0 ? Math.max(1, (value / largest) * room) : 1;
      const middle = y + barHeight / 2 + 4;
      parts.push(
        text(left - 8, middle, label, 'text-anchor="end"'),
        `<rect x="${left}" y="${y + 2}" width="${round(length)}" height="${barHeight - 4}" rx="2" fill="${colour(labels.indexOf(label))}"/>`,
        text(left + length + 6, middle, shortNumber(value)),
      );
      y += barHeight;
    }
    y += 14;
  }
  return page(y + 6, title, unit, parts);
}

/** Lines over linear axes that start at zero (or at the least value, if below), with a legend. */
export function lineChartSvg({ title, xLabel, yLabel, series }: LineChart): string {
  const points = series.flatMap((line) => line.points);
  const [left, right, top, bottom] = [
    MARGIN + 56,
    WIDTH - MARGIN,
    72 + 22 * Math.ceil(series.length / 3),
    460,
  ];
  const xTicks = ticks(points.map(([x]) => x));
  const yTicks = ticks([0, ...points.map(([, y]) => y)]);
  const scaleX = scale(xTicks, left, right);
  const scaleY = scale(yTicks, bottom, top);
  const parts = [
    ...yTicks.map(
      (tick) =>
        `<path d="M${left} ${round(scaleY(tick))}H${right}" stroke="${FAINT}"/>` +
        text(left - 8, scaleY(tick) + 4, shortNumber(tick), 'text-anchor="end"'),
    ),
    ...xTicks.map((tick) => text(scaleX(tick), bottom + 20, shortNumber(tick), 'text-anchor="middle"')),
    text((left + right) / 2, bottom + 42, xLabel, 'text-anchor="middle"'),
  ];
  series.forEach((line, index) => {
    const path = line.points.map(([x, y]) => `${round(scaleX(x))} ${round(scaleY(y))}`).join('L');
    const [legendX, legendY] = [left + (index % 3) * 240, 66 + 22 * Math.floor(index / 3)];
    parts.push(
      line.points.length > 0
        ? `<path d="M${path}" fill="none" stroke="${colour(index)}" stroke-width="2"/>`
        : '',
      `<rect x="${legendX}" y="${legendY - 4}" width="18" height="4" fill="${colour(index)}"/>`,
      text(legendX + 24, legendY + 2, line.label),
    );
  });
  return page(bottom + 60, title, yLabel, parts);
}

/** A page with a ground of its own, so that it reads the same on a white and on a dark one. */
function page(height: number, title: string, subtitle: string, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="13" fill="${INK}">`,
    `<rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="6" fill="#ffffff" stroke="${FAINT}"/>`,
    text(MARGIN, 32, title, 'font-size="17" font-weight="600"'),
    text(MARGIN, 51, subtitle, 'fill="#57606a"'),
    ...parts.filter((part) => part !== ''),
    '</svg>\n',
  ].join('\n');
}

function text(x: number, y: number, content: string, attributes = ''): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escaped}</text>`;
}

/** About what a label takes at 13 px: SVG cannot be asked without a browser. */
function textWidth(label: string): number {
  return label.length * 7.4;
}

function colour(index: number): string {
  return COLOURS[index % COLOURS.length];
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function shortNumber(value: number): string {
  if (Math.abs(value) >= 10_000_000) return `${Number((value / 1e6).toPrecision(3))} M`;
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}

/** About six round numbers that span the values. */
function ticks(values: readonly number[]): number[] {
  const least = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const most = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (!Number.isFinite(least) || most === least) return [Math.min(0, least) || 0, Math.max(1, most) || 1];
  const rough = (most - least) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.floor(least / step);
  return Array.from({ length: Math.ceil(most / step) - first + 1 }, (_, index) => (first + index) * step);
}

function scale(domain: readonly number[], from: number, to: number): (value: number) => number {
  const [least, most] = [domain[0], domain[domain.length - 1]];
  return (value) => from + ((value - least) / (most - least)) * (to - from);
}
