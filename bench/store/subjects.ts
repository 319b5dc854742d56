/** What a benchmark asks of a cache inside the process. */
export interface Subject {
  put(key: string, value: string): unknown;
  get(key: string): string | undefined;
  delete(key: string): boolean;
  readonly entries: number;
}

export const OURS = 'segment store';
export const SUBJECT_NAMES = [OURS, 'lru-cache', 'Map'] as const;
export type SubjectName = (typeof SUBJECT_NAMES)[number];

/**
 * Code is loaded only for the subject that is measured: it is resident memory too.
 * @param room how many entries are put.
 * @param maxEntries from here on each new entry evicts the least recently used one; a `Map` cannot.
 */
export async function openSubject(name: SubjectName, room: number, maxEntries?: number): Promise<Subject> {
  if (name === OURS) {
    const { OurStore } = await import('../lib/product.ts');
    return new OurStore({ maxEntries });
  }
  const cache = name === 'Map' ? new Map<string, string>() : await openLru(maxEntries ?? room);
  return {
    put: (key, value) => cache.set(key, value),
    get: (key) => cache.get(key),
    delete: (key) => cache.delete(key),
    get entries() {
      return cache.size;
    },
  };
}

/** Bounded by the number of entries, which costs it less than a bound on their size. */
async function openLru(max: number): Promise<Pick<Map<string, string>, 'get' | 'set' | 'delete' | 'size'>> {
  const { LRUCache } = await import('lru-cache');
  return new LRUCache<string, string>({ max }) as never;
}
