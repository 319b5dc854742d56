import { treeRssBytes } from '../lib/process.ts';
import { CacheServer, type ServerName } from '../store/servers.ts';
import { keyOf, randomIndex, valueOf } from '../store/workload.ts';
import { CONTENT_BYTES, type Footprint } from './footprint-child.ts';

const BATCH = 500;
const SAMPLE = 5_000;

/** Resident bytes that a server needs for its entries; Redis is also asked for its own account. */
export async function serverFootprint(name: ServerName, entries: number): Promise<Footprint> {
  const server = await CacheServer.start(name);
  const { dialect } = server;
  const faults: string[] = [];
  try {
    const before = treeRssBytes(server.process.pid);
    const usedBefore = await usedMemory(server, name);
    for (let first = 0; first < entries; first += BATCH) {
      const count = Math.min(BATCH, entries - first);
      const puts = Array.from({ length: count }, (_, i) =>
        dialect.put(keyOf(first + i), valueOf(first + i, 0)),
      );
      if (!(await server.exchange(puts))) faults.push(`a wrong answer to puts from ${first}`);
    }
    const residentBytes = treeRssBytes(server.process.pid) - before;
    const used = await usedMemory(server, name);
    const gets = Array.from({ length: SAMPLE }, (_, step) => {
      const i = randomIndex(step, entries, 0x1b873593);
      return dialect.get(keyOf(i), valueOf(i, 0));
    });
    if (!(await server.exchange(gets))) faults.push('a wrong answer to a get');
    return {
      overheadBytes: residentBytes / entries - CONTENT_BYTES,
      residentBytes,
      ownOverheadBytes:
        used === null || usedBefore === null ? null : (used - usedBefore) / entries - CONTENT_BYTES,
      faults: faults.slice(0, 5),
    };
  } finally {
    await server.stop();
  }
}

async function usedMemory(server: CacheServer, name: ServerName): Promise<number | null> {
  if (name !== 'Redis') return null;
  const match = /used_memory:(\d+)/.exec(await server.ask('INFO memory\r\n'));
  return match === null ? null : Number(match[1]);
}
