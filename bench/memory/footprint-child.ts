import { setTimeout as delay } from 'node:timers/promises';
import { collectGarbage, Measurement } from '../store/child.ts';
import { type InProcessName, openSubject, type Subject } from '../store/subjects.ts';
import { KEY_BYTES, keyOf, randomIndex, VALUE_BYTES, valueOf } from '../store/workload.ts';

/** Resident bytes that a subject inside the process needs for its entries. */
export interface FootprintJob {
  readonly subject: InProcessName;
  readonly entries: number;
}

export interface Footprint {
  /** Resident bytes per entry beyond its key and value. */
  readonly overheadBytes: number;
  readonly residentBytes: number;
  /** The same by the subject's own account, where it keeps one. */
  readonly ownOverheadBytes: number | null;
  readonly faults: string[];
}

export const CONTENT_BYTES = KEY_BYTES + VALUE_BYTES;
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

/** Young strings by the hundred thousand, kept by nobody: the heap has its working size before the first put. */
export function stretchHeap(): void {
  for (let i = 0; i < 500_000; i++) sink += keyOf(i).length + valueOf(i, 0).length;
}

/** The subject's code, loaded and compiled, is no entry's: a small one of its kind comes and goes before. */
async function loadCode(name: InProcessName): Promise<void> {
  const subject = await openSubject(name, WARM_UP);
  for (let i = 0; i < WARM_UP; i++) subject.put(keyOf(i), valueOf(i, 0));
  for (let i = 0; i < WARM_UP; i++) subject.delete(keyOf(i));
}

async function measure({ subject: name, entries }: FootprintJob): Promise<Footprint> {
  stretchHeap();
  await loadCode(name);
  const before = await settledRssBytes();
  const subject = await openSubject(name, entries);
  for (let i = 0; i < entries; i++) subject.put(keyOf(i), valueOf(i, 0));
  const residentBytes = (await settledRssBytes()) - before;
  const reserved = subject.stats?.().reservedBytes;
  return {
    overheadBytes: residentBytes / entries - CONTENT_BYTES,
    residentBytes,
    ownOverheadBytes: reserved === undefined ? null : reserved / entries - CONTENT_BYTES,
    faults: findFaults(subject, entries),
  };
}

function findFaults(subject: Subject, entries: number): string[] {
  if (sink === 0) return ['the heap was never stretched'];
  if (subject.count() !== entries) return [`${subject.count()} entries after ${entries} puts`];
  for (let step = 0; step < SAMPLE; step++) {
    const i = randomIndex(step, entries, 0x1b873593);
    if (subject.get(keyOf(i)) !== valueOf(i, 0)) return [`a wrong value for key ${i}`];
  }
  return [];
}

export const footprint = new Measurement<FootprintJob, Footprint>(import.meta.url, measure);
if (import.meta.main) await footprint.serve();
