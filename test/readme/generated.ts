/** What README shows that is kept somewhere else: settings and results of benchmarks. Pure. */
import { settingsTable } from '../../src/config/settings.ts';

/** A row of a report. */
interface Row {
  readonly label: string;
  /** What stands after the label, by the title of the column. */
  readonly cells: ReadonlyMap<string, string>;
}

/** Where the parts come from. */
export interface Sources {
  /** The pages of `bench/results`. */
  readonly http: string;
  readonly memory: string;
}

/** Replaces all that stands between the markers. @throws Error for a part without markers. */
export function withGenerated(page: string, sources: Sources): string {
  const parts = { settings: settingsPart(), figures: figuresPart(sources) };
  return Object.entries(parts).reduce((text, [name, part]) => {
    const between = new RegExp(`(<!-- ${name}: [^>]* -->)[^]*?(<!-- end of ${name} -->)`);
    if (!between.test(text)) throw new Error(`the page has no markers for ${name}`);
    return text.replace(between, (_all, begin: string, end: string) => `${begin}\n\n${part}\n\n${end}`);
  }, page);
}

function table(columns: readonly string[], alignment: string, rows: readonly (readonly string[])[]): string {
  const rule = ['---', ...columns.slice(1).map(() => alignment)];
  return [columns, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function settingsPart(): string {
  const settings = settingsTable();
  const names = new Set(settings.map(({ name }) => name));
  // A bar would end the cell, and angle brackets would be a tag.
  const prose = (text: string): string =>
    text
      .replaceAll(/[|<]/g, String.raw`\$&`)
      .replaceAll(/\b[A-Z][A-Z_]+\b/g, (word) => (names.has(word) ? `\`${word}\`` : word));
  const rows = settings.map(({ name, byDefault, isText, meaning }) => [
    `\`${name}\``,
    isText ? byDefault : `\`${byDefault}\``,
    prose(meaning),
  ]);
  return table(['variable', 'default', 'meaning'], '---', rows);
}

const WORKLOADS = {
  GET: 'GET, hits, 100 bytes, 64 connections',
  PUT: 'PUT, 100 bytes, 64 connections',
  'GET, 10 pipelined': 'GET, 10 pipelined, 64 connections',
  'GET 10 KB, gzip': 'GET, 10 KB of JSON text, gzip, 64 connections',
};

/** By the name that README has for a server, how its rows of the reports begin. A report may call it otherwise. */
const SERVERS = {
  'key-value-cache': ['key-value-cache (1 shard)'],
  'bare Fastify, a constant answer': ['bare Fastify'],
  'Fastify over lru-cache, one thread': ['Fastify over lru-cache', 'Fastify over lru-cache, compress'],
  'webdis + Redis': ['webdis + Redis'],
  'nginx + memcached': ['nginx + memcached'],
};

function figuresPart({ http, memory }: Sources): string {
  const byWorkload = Object.values(WORKLOADS).map((title) => readTable(http, title));
  const rows = Object.entries(SERVERS).map(([server, labels]) => {
    const rates = byWorkload.map((results) => {
      const row = results.find((each) => labels.includes(each.label));
      return row === undefined ? '–' : numberIn(row, 'requests/s').toLocaleString('en-US');
    });
    if (rates.every((rate) => rate === '–')) throw new Error(`no figures of ${server}`);
    return [server].concat(rates);
  });
  return `${table(['', ...Object.keys(WORKLOADS)], '---:', rows)}\n\n${overheadSentence(memory)}`;
}

function overheadSentence(memory: string): string {
  const rows = readTable(memory, 'Resident bytes per entry beyond key and value').filter(
    (row) => numberIn(row, 'entries') === 1_000_000,
  );
  /** With the better of its settings. */
  const least = (cache: string): string => {
    const ofCache = rows.filter(({ label }) => label.split(' (')[0] === cache);
    if (ofCache.length === 0) throw new Error(`no figures of ${cache}`);
    return Math.min(...ofCache.map((row) => numberIn(row, 'resident bytes per entry'))).toFixed(0);
  };
  return (
    `An entry takes ${least('segment store')} bytes beyond its key and value; lru-cache takes ` +
    `${least('lru-cache')}, Redis ${least('Redis')}, memcached ${least('memcached')}.`
  );
}

function numberIn({ label, cells }: Row, column: string): number {
  const number = Number(cells.get(column)?.replaceAll(',', '') || Number.NaN);
  if (Number.isNaN(number)) throw new Error(`${label}: no number in the column ${column}`);
  return number;
}

/** The table under a heading of a report. */
function readTable(page: string, heading: string): Row[] {
  const section = page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  const lines = section?.split('\n').filter((line) => line.startsWith('|'));
  if (lines === undefined || lines.length < 3) throw new Error(`the report has no table "${heading}"`);
  const [[, ...columns], , ...rows] = lines.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  return rows.map(([label, ...cells]) => ({
    label,
    cells: new Map(columns.map((column, index) => [column, cells[index]])),
  }));
}
