import { treeCpuMicros } from '../lib/process.ts';
import type { OperationsResult, OperationTimes } from './operations-child.ts';
import { CacheServer, type ServerName } from './servers.ts';
import { keyOf, randomIndex, scatteredIndex, valueOf } from './workload.ts';

/** Requests in one write: enough that a system call is shared by many, as any client that pipelines does. */
const BATCH = 500;

type Pair = readonly [request: string, answer: string];

/** The phases of `operations-child.ts`, asked of a server; every answer is checked. */
export async function measureServer(name: ServerName, entries: number): Promise<OperationsResult> {
  const server = await CacheServer.start(name);
  const { dialect } = server;
  const faults: string[] = [];
  const versions = new Uint8Array(entries);
  const phase = async (what: string, pairOf: (step: number) => Pair): Promise<number> => {
    const from = treeCpuMicros(server.process.pid);
    for (let first = 0; first < entries; first += BATCH) {
      const pairs = Array.from({ length: Math.min(BATCH, entries - first) }, (_, i) => pairOf(first + i));
      if (!(await server.exchange(pairs)) && faults.length < 5) faults.push(`a wrong answer to ${what}`);
    }
    return ((treeCpuMicros(server.process.pid) - from) * 1_000) / entries;
  };
  try {
    const nanos: OperationTimes = {
      'put new': await phase('put', (i) => dialect.put(keyOf(i), valueOf(i, 0))),
      'get hit': await phase('get', (step) => {
        const i = randomIndex(step, entries, 0x51ed270b);
        return dialect.get(keyOf(i), valueOf(i, 0));
      }),
      'get miss': await phase('get', (step) => dialect.get(keyOf(entries + step), undefined)),
      'put overwrite': await phase('put', (step) => {
        const i = randomIndex(step, entries, 0x2545f491);
        versions[i] = 1;
        return dialect.put(keyOf(i), valueOf(i, 1));
      }),
      'put displacing': null,
      delete: await phase('delete', (step) => {
        const i = scatteredIndex(step, entries);
        return dialect.delete(keyOf(i), true);
      }),
    };
    return { nanos, faults };
  } finally {
    await server.stop();
  }
}
