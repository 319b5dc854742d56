import type { StoreStats } from './our-store.ts';

/** What a benchmark asks of a cache inside the process. One class per subject, one subject per process. */
export interface Subject {
  put(key: string, value: string): void;
  get(key: string): string | undefined;
  delete(key: string): boolean;
  count(): number;
  /** Only our own store says what it holds. */
  stats?(): StoreStats;
  checkIntegrity?(): void;
}

export type InProcessName = 'segment store' | 'lru-cache (maxSize)' | 'lru-cache (max)' | 'Map';

export const IN_PROCESS_NAMES: readonly InProcessName[] = [
  'segment store',
  'lru-cache (maxSize)',
  'lru-cache (max)',
  'Map',
];

/** Far more than any benchmark puts: nothing may be displaced that was not meant to be. */
const AMPLE_BYTES = 64 * 2 ** 30;

/** A subject that displaces nothing, or, with `maxEntries`, its least recently used entry. */
export function openSubject(name: InProcessName, room: number, maxEntries?: number): Promise<Subject> {
  const limit = maxEntries === undefined ? {} : { max: maxEntries };
  const open: Record<InProcessName, () => Promise<Subject>> = {
    'segment store': () => openSegment(maxEntries),
    'lru-cache (max)': () => openLru({ max: maxEntries ?? room }),
    'lru-cache (maxSize)': () =>
      openLru({
        ...limit,
        maxSize: AMPLE_BYTES,
        sizeCalculation: (value, key) => value.length + key.length,
      }),
    Map: () => Promise.resolve(openMap()),
  };
  return open[name]();
}

async function openSegment(maxEntries?: number): Promise<Subject> {
  const { OurStore } = await import('./our-store.ts');
  return new OurStore({ maxEntries });
}

function openMap(): Subject {
  const map = new Map<string, string>();
  return {
    put: (key, value) => void map.set(key, value),
    get: (key) => map.get(key),
    delete: (key) => map.delete(key),
    count: () => map.size,
  };
}

type LruOptions =
  | { max: number }
  | { max?: number; maxSize: number; sizeCalculation: (value: string, key: string) => number };

async function openLru(options: LruOptions): Promise<Subject> {
  // Loaded only where it is measured: a module's code is resident memory too.
  const { LRUCache } = await import('lru-cache');
  const cache = new LRUCache<string, string>(options);
  return {
    put: (key, value) => void cache.set(key, value),
    get: (key) => cache.get(key),
    delete: (key) => cache.delete(key),
    count: () => cache.size,
  };
}
