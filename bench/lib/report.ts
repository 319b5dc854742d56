import { mkdir, writeFile } from 'node:fs/promises';
import { format } from 'prettier';
import { isMet, type Verdict, wanted } from '../targets.ts';
import { say, type Step } from './progress.ts';
import { median } from './statistics.ts';

type Cell = string | number;

const FIGURE = /^(?:[-+±<>~]?[\d.,]+\s?\S{0,4}|–|)$/;

/** A Markdown table. Columns of figures align right. */
export function markdownTable(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  // A bar in a cell would end it.
  const texts = rows.map((row) => columns.map((_, index) => String(row[index] ?? '').replaceAll('|', '\\|')));
  const rule = columns.map((_, index) => (texts.every((row) => FIGURE.test(row[index])) ? '--:' : '---'));
  return [columns, rule, ...texts].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** Prints a page so that its tables read well as text, too. @returns what was printed. */
export async function printPage(page: string): Promise<string> {
  const formatted = await format(page, { parser: 'markdown' });
  process.stdout.write(formatted);
  return formatted;
}

/** What a table shows of a series of rounds, by the heading of its column. */
export type Columns<Round> = Readonly<Record<string, (rounds: readonly Round[]) => Cell>>;

/** The median of a figure over the rounds, with so many decimals; a dash where a figure is NaN. */
export function middle<Round>(figure: (round: Round) => number, decimals = 0): Columns<Round>[string] {
  return (rounds) => {
    const value = median(rounds.map(figure));
    return Number.isNaN(value) ? '–' : value.toFixed(decimals);
  };
}

/** The worst of a figure over the rounds. */
export function most<Round>(figure: (round: Round) => number, decimals = 0): Columns<Round>[string] {
  return (rounds) => Math.max(...rounds.map(figure)).toFixed(decimals);
}

/** The first wrong answer. The figures of what answers wrongly mean nothing. */
export function faultOf(rounds: readonly { readonly faults: readonly string[] }[]): string {
  return rounds.flatMap(({ faults }) => faults)[0] ?? '';
}

/** What was measured for one row of a table. */
export interface Series<Round> {
  readonly labels: readonly Cell[];
  readonly rounds: readonly Round[];
}

/** Makes a row of a table. @returns the step that measures one more round for it. */
export function rowOf<Round>(
  table: Series<Round>[],
  labels: readonly Cell[],
  measure: () => Promise<Round>,
): Step {
  const rounds: Round[] = [];
  table.push({ labels, rounds });
  return async () => {
    rounds.push(await measure());
    return labels.join(', ');
  };
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

function targetsTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map((verdict) => {
    const { target, value, note } = verdict;
    const result = isMet(verdict) ? 'met' : 'SHORT';
    const [measured, judged] = Number.isNaN(value) ? ['–', 'not measured'] : [value.toFixed(2), result];
    return [target.name, wanted(target), measured, judged, note];
  });
  return markdownTable(['target', 'wanted', 'measured', '', 'note'], rows);
}

/** Horizontal bars, one row each, in groups under a heading: long names stay readable. */
export interface BarChart {
  readonly title: string;
  readonly groups: readonly { readonly label: string; readonly bars: readonly Bar[] }[];
}

interface Bar {
  readonly label: string;
  readonly value: number;
}

const WIDTH = 860;
const LEFT = 260;
const MAX_BAR = 500;
const ROW = 20;

function barChartSvg({ title, groups }: BarChart): string {
  const scale = MAX_BAR / Math.max(...groups.flatMap(({ bars }) => bars.map(({ value }) => value)));
  const parts = [svgText(24, 32, title, 'font-size="17" font-weight="600"')];
  let y = 44;
  for (const group of groups) {
    parts.push(svgText(24, y + 14, group.label, 'font-weight="600"'));
    for (const { label, value } of group.bars) {
      y += ROW;
      const length = Math.round(value * scale);
      parts.push(
        svgText(LEFT - 8, y + 14, label, 'text-anchor="end"'),
        `<rect x="${LEFT}" y="${y + 2}" width="${length}" height="${ROW - 4}" fill="#0072b2"/>`,
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
  readonly name: 'http' | 'client' | 'store' | 'memory';
  readonly title: string;
  /** The machine, and how it was measured. */
  readonly introduction: string;
  readonly verdicts: readonly Verdict[];
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
export async function writeReport(report: Report, raw: unknown, isWhole: boolean): Promise<void> {
  const { name, title, introduction, verdicts, parts, charts = {} } = report;
  const directory = isWhole ? RESULTS : RAW;
  const drawn = Object.entries(charts).filter(([, { groups }]) => groups.length > 0);
  const images = drawn.map(([file, chart]) => `![${chart.title}](${file}.svg)`);
  const head = [`# ${title}`, `${introduction} bench/README.md says how to read it.`];
  const page = [...head, '## Targets', targetsTable(verdicts), ...parts, ...images].join('\n\n');
  await mkdir(RAW, { recursive: true });
  await writeFile(new URL(`${name}.json`, RAW), JSON.stringify(raw, null, 1));
  await writeFile(new URL(`${name}.md`, directory), await printPage(page));
  for (const [file, chart] of drawn) await writeFile(new URL(`${file}.svg`, directory), barChartSvg(chart));
  say(`written to bench/results/${isWhole ? '' : 'raw/'}${name}.md`);
}
