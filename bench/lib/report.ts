import { mkdir, writeFile } from 'node:fs/promises';
import { median } from './statistics.ts';

type Cell = string | number;

/** A Markdown table, padded so that it also reads well as text; columns of figures align right. */
export function markdownTable(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  // A bar in a cell would end it.
  const texts = rows.map((row) => columns.map((_, index) => String(row[index] ?? '').replaceAll('|', '\\|')));
  const isFigures = columns.map((_, index) => texts.length > 0 && texts.every((row) => isFigure(row[index])));
  const widths = columns.map((column, index) =>
    Math.max(3, column.length, ...texts.map((row) => row[index].length)),
  );
  const pad = (cell: string, index: number): string =>
    isFigures[index] ? cell.padStart(widths[index]) : cell.padEnd(widths[index]);
  const line = (cells: readonly string[]): string => `| ${cells.map(pad).join(' | ')} |`;
  const rule = widths.map((width, index) => `${'-'.repeat(width - 1)}${isFigures[index] ? ':' : '-'}`);
  return [columns, rule, ...texts].map(line).join('\n');
}

function isFigure(text: string): boolean {
  return /^(?:[-+±<>~]?[\d.,]+\s?\S{0,4}|–|)$/.test(text);
}

/** What a table shows of a series of rounds, by the heading of its column. */
export type Columns<Round> = Readonly<Record<string, (rounds: readonly Round[]) => Cell>>;

/** The median of a figure over the rounds, with so many decimals. */
export function middle<Round>(figure: (round: Round) => number, decimals = 0): Columns<Round>[string] {
  return (rounds) => median(rounds.map(figure)).toFixed(decimals);
}

/** The worst of a figure over the rounds. */
export function most<Round>(figure: (round: Round) => number, decimals = 0): Columns<Round>[string] {
  return (rounds) => Math.max(...rounds.map(figure)).toFixed(decimals);
}

/** One row for each series of rounds. */
export interface Series<Round> {
  readonly labels: readonly Cell[];
  readonly rounds: readonly Round[];
}

export function seriesTable<Round>(
  headings: readonly string[],
  columns: Columns<Round>,
  series: readonly Series<Round>[],
): string {
  const rows = series.map(({ labels, rounds }) =>
    labels.concat(Object.values(columns).map((of) => of(rounds))),
  );
  return markdownTable([...headings, ...Object.keys(columns)], rows);
}

/** Horizontal bars, one row each, in groups under a heading: long names stay readable. */
export interface BarChart {
  readonly title: string;
  readonly groups: readonly BarGroup[];
}

export interface BarGroup {
  readonly label: string;
  readonly bars: readonly { readonly label: string; readonly value: number }[];
}

const WIDTH = 860;
const LEFT = 260;
const MAX_BAR = 500;
const ROW = 20;
/** Can be told apart by those who do not see all colours (Okabe and Ito). */
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#7f7f7f', '#b8a600'];

export function barChartSvg({ title, groups }: BarChart): string {
  const bars = groups.flatMap((group) => group.bars);
  const labels = [...new Set(bars.map(({ label }) => label))];
  const scale = MAX_BAR / Math.max(...bars.map(({ value }) => value));
  const parts = [svgText(24, 32, title, 'font-size="17" font-weight="600"')];
  let y = 44;
  for (const group of groups) {
    parts.push(svgText(24, y + 14, group.label, 'font-weight="600"'));
    for (const { label, value } of group.bars) {
      y += ROW;
      const colour = COLOURS[labels.indexOf(label) % COLOURS.length];
      const length = Math.round(value * scale);
      parts.push(
        svgText(LEFT - 8, y + 14, label, 'text-anchor="end"'),
        `<rect x="${LEFT}" y="${y + 2}" width="${length}" height="${ROW - 4}" fill="${colour}"/>`,
        svgText(LEFT + length + 6, y + 14, Number(value.toPrecision(3)).toLocaleString('en-US')),
      );
    }
    y += ROW + 14;
  }
  // A background of its own, so that it reads the same on a white and on a dark page.
  const head = `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" font-family="sans-serif" font-size="13">`;
  return [head, '<rect width="100%" height="100%" fill="#ffffff"/>', ...parts, '</svg>\n'].join('\n');
}

function svgText(x: number, y: number, content: string, attributes = ''): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x}" y="${y}" ${attributes}>${escaped}</text>`;
}

export interface Report {
  readonly name: 'http' | 'store' | 'memory';
  /** Paragraphs, headings and tables. */
  readonly parts: readonly string[];
  /** By the name of the file, without its ending. Shown at the end of the page. */
  readonly charts?: Readonly<Record<string, BarChart>>;
}

const RESULTS = new URL('../results/', import.meta.url);
const RAW = new URL('raw/', RESULTS);

/**
 * Writes a page and its charts, and prints the page.
 * @param raw every round, for a closer look.
 * @param isWhole only a whole run replaces the tracked results. A part of it goes to `raw/`, as all JSON does.
 */
export async function writeReport(
  { name, parts, charts = {} }: Report,
  raw: unknown,
  isWhole: boolean,
): Promise<void> {
  const directory = isWhole ? RESULTS : RAW;
  const drawn = Object.entries(charts).filter(([, { groups }]) => groups.length > 0);
  const images = drawn.map(([file, { title }]) => `![${title}](${file}.svg)`);
  const page = `${[...parts, ...images].join('\n\n')}\n`;
  await mkdir(RAW, { recursive: true });
  await writeFile(new URL(`${name}.json`, RAW), JSON.stringify(raw, null, 1));
  await writeFile(new URL(`${name}.md`, directory), page);
  for (const [file, chart] of drawn) await writeFile(new URL(`${file}.svg`, directory), barChartSvg(chart));
  process.stdout.write(page);
  process.stderr.write(`written to bench/results/${isWhole ? '' : 'raw/'}${name}.md\n`);
}
