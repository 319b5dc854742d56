import { seededRandom } from './random.ts';

export const DATA_SET_NAMES = ['small', 'medium', 'large', 'text', 'gigabyte', 'absent'] as const;
export type DataSetName = (typeof DATA_SET_NAMES)[number];

export interface DataSet {
  /** First character of its keys: servers with constant answers tell the size by it. */
  readonly prefix: string;
  readonly valueBytes: number;
  /** Fixed number of keys; without it, as many as the run is for. */
  readonly count?: number;
}

/** What every server is loaded with; `absent` is never stored. */
export const DATA_SETS: Readonly<Record<DataSetName, DataSet>> = {
  small: { prefix: 's', valueBytes: 100 },
  medium: { prefix: 'm', valueBytes: 10 * 1024, count: 1_000 },
  large: { prefix: 'l', valueBytes: 100 * 1024, count: 100 },
  text: { prefix: 't', valueBytes: 10 * 1024, count: 1_000 },
  gigabyte: { prefix: 'g', valueBytes: 1024, count: 1024 * 1024 },
  absent: { prefix: 'a', valueBytes: 0 },
};

export function keyCountOf(set: DataSetName, keyCount: number): number {
  return DATA_SETS[set].count ?? keyCount;
}

/** 16 characters that need no escape in a path. */
export function keyOf(set: DataSetName, index: number): string {
  return `${DATA_SETS[set].prefix}-${String(index).padStart(14, '0')}`;
}

/** The value of a key: a pure function, so that any answer can be checked without remembering what was stored. */
export function valueOf(set: DataSetName, index: number): string {
  const { valueBytes } = DATA_SETS[set];
  if (set === 'text') return `[${jsonText(index, valueBytes - 2)}]`;
  const stamp = index.toString(36).padStart(8, '0');
  const offset = (index * 31) % (NOISE.length - valueBytes);
  return (stamp + NOISE.slice(offset, offset + valueBytes)).slice(0, valueBytes);
}

const NOISE = noise(256 * 1024);

function noise(length: number): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const random = seededRandom(1);
  return Array.from({ length }, () => letters[Math.floor(random() * letters.length)]).join('');
}

/** Records as an API would answer them: gzip takes such text to about a quarter. */
function jsonText(seed: number, length: number): string {
  const random = seededRandom(seed + 7);
  const cities = ['Amsterdam', 'Berlin', 'Kyiv', 'Lisbon', 'Nairobi', 'Osaka', 'Toronto'];
  let text = '';
  while (text.length < length) {
    const id = Math.floor(random() * 1e9);
    text += JSON.stringify({
      id,
      name: `customer-${id.toString(36)}`,
      city: cities[id % cities.length],
      balance: Math.floor(random() * 1e6) / 100,
      isActive: random() < 0.8,
      createdAt: new Date(1.7e12 + Math.floor(random() * 5e10)).toISOString(),
    });
    text += ',';
  }
  return text.slice(0, length);
}
