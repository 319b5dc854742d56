import { setTimeout as delay } from 'node:timers/promises';
import { collectGarbage, inFreshProcess } from '../lib/child.ts';
import { KEY_BYTES, keyOf, randomIndex, VALUE_BYTES, valueOf } from '../lib/data.ts';
import { serverRssBytes } from '../lib/usage.ts';
import { type ServerName, withServer } from '../store/servers.ts';
import { openSubject, type SubjectName } from '../store/subjects.ts';

/** Resident bytes that a cache needs for its entries. */
export interface Footprint {
  /** Per entry, beyond its key and value. */
  readonly overheadBytes: number;
  readonly faults: readonly string[];
}

const CONTENT_BYTES = KEY_BYTES + VALUE_BYTES;
const SAMPLE = 5_000;
const SETTLE_MS = 200;
const WARM_UP = 2_000;

let sink = 0;

/** Resident bytes once the collector is done and has given back what it gives back. */
export async function settledRssBytes(): Promise<number> {
  collectGarbage();
  await delay(SETTLE_MS);
  collectGarbage();
  return process.memoryUsage.rss();
}

/** Half a million young strings that nobody keeps: the heap has its working size before the first put. */
export function stretchHeap(): void {
  for (let i = 0; i < 500_000; i++) sink += keyOf(i).length + valueOf(i).length;
}

/** The subject's code is no entry's memory: a small subject of its kind comes and goes before. */
async function loadCode(name: SubjectName): Promise<void> {
  const subject = await openSubject(name, WARM_UP);
  for (let i = 0; i < WARM_UP; i++) subject.put(keyOf(i), valueOf(i));
  for (let i = 0; i < WARM_UP; i++) subject.delete(keyOf(i));
}

interface FootprintJob {
  readonly subject: SubjectName;
  readonly entries: number;
}

async function measure({ subject: name, entries }: FootprintJob): Promise<Footprint> {
  stretchHeap();
  await loadCode(name);
  const before = await settledRssBytes();
  const subject = await openSubject(name, entries);
  for (let i = 0; i < entries; i++) subject.put(keyOf(i), valueOf(i));
  const residentBytes = (await settledRssBytes()) - before;
  const faults = sink === 0 ? ['the heap was never stretched'] : [];
  if (subject.entries !== entries) faults.push(`${subject.entries} entries after ${entries} puts`);
  for (let step = 0; step < SAMPLE && faults.length === 0; step++) {
    const i = sampleIndex(step, entries);
    if (subject.get(keyOf(i)) !== valueOf(i)) faults.push(`a wrong value for key ${i}`);
  }
  return { overheadBytes: residentBytes / entries - CONTENT_BYTES, faults };
}

function sampleIndex(step: number, entries: number): number {
  return randomIndex(step, entries, 0x1b873593);
}

/** The same of a server. */
export function serverFootprint(name: ServerName, entries: number): Promise<Footprint> {
  return withServer(name, async ({ protocol, pid, faults, ask }) => {
    const before = serverRssBytes(pid);
    await ask('put', entries, (i) => protocol.put(keyOf(i), valueOf(i)));
    const residentBytes = serverRssBytes(pid) - before;
    await ask('get', SAMPLE, (step) => {
      const i = sampleIndex(step, entries);
      return protocol.get(keyOf(i), valueOf(i));
    });
    return { overheadBytes: residentBytes / entries - CONTENT_BYTES, faults };
  });
}

export const footprint = inFreshProcess(import.meta, measure);
