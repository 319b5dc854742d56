import { collectGarbage, inFreshProcess } from '../lib/child.ts';
import { keyOf, randomIndex, scatteredIndex, valueOf } from '../lib/data.ts';
import { openSubject, type Subject, type SubjectName } from './subjects.ts';

/** The entry of the `step`th operation of a phase: every subject, also a server, gets the same ones in the same order. */
export const ORDER = {
  'put new': (step: number): number => step,
  'get hit': (step: number, entries: number): number => randomIndex(step, entries, 0x51ed270b),
  'get miss': (step: number, entries: number): number => entries + step,
  'put overwrite': scatteredIndex,
  'put evicting': (step: number, entries: number): number => entries + step,
  delete: scatteredIndex,
};

export type Operation = keyof typeof ORDER;
export const OPERATIONS = Object.keys(ORDER) as Operation[];

export interface OperationsResult {
  /** Per operation; absent where the subject has no such operation. */
  readonly nanos: Partial<Record<Operation, number>>;
  /** What was wrong; empty for a subject that answers rightly. */
  readonly faults: string[];
}

const SAMPLE = 2_000;
const WARM_UP = 50_000;

let sink = 0;

/**
 * Processor time per operation, the collector's threads included, less what it costs to make the keys and values: the
 * same strings are made for nothing before. What is left is the subject's, with the collections that its garbage and
 * its live objects cause.
 */
function nanosOf(operation: Operation, entries: number, operate: (index: number) => unknown): number {
  const makeStrings = operation.startsWith('put') ? makeKeyAndValue : makeKey;
  const indexOf = ORDER[operation];
  const [alone, together] = [makeStrings, operate].map((body) => {
    collectGarbage();
    const from = process.cpuUsage();
    for (let step = 0; step < entries; step++) body(indexOf(step, entries));
    const { user, system } = process.cpuUsage(from);
    return user + system;
  });
  return ((together - alone) * 1_000) / entries;
}

function makeKeyAndValue(index: number): void {
  sink += keyOf(index).length + valueOf(index).length;
}

function makeKey(index: number): void {
  sink += keyOf(index).length;
}

async function warmUp(name: SubjectName): Promise<void> {
  const subject = await openSubject(name, WARM_UP);
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < WARM_UP; i++) subject.put(keyOf(i), valueOf(i, round));
    for (let i = 0; i < 2 * WARM_UP; i++) sink += subject.get(keyOf(i))?.length ?? 0;
  }
  for (let i = 0; i < WARM_UP; i++) subject.delete(keyOf(i));
}

interface OperationsJob {
  readonly subject: SubjectName;
  readonly entries: number;
}

async function measure({ subject: name, entries }: OperationsJob): Promise<OperationsResult> {
  await warmUp(name);
  const nanos: OperationsResult['nanos'] = {};
  const faults: string[] = [];
  const expect = (what: string, count: number, expected: number): void => {
    if (count !== expected) faults.push(`${what}: ${count} instead of ${expected}`);
  };
  let found = 0;
  const phase = (operation: Operation, operate: (index: number) => unknown): void => {
    found = 0;
    nanos[operation] = nanosOf(operation, entries, operate);
  };

  const subject = await openSubject(name, entries);
  const get = (i: number): void => {
    if (subject.get(keyOf(i)) !== undefined) found++;
  };
  phase('put new', (i) => subject.put(keyOf(i), valueOf(i)));
  expect('entries after put new', subject.entries, entries);
  phase('get hit', get);
  expect('hits', found, entries);
  phase('get miss', get);
  expect('hits of absent keys', found, 0);
  phase('put overwrite', (i) => subject.put(keyOf(i), valueOf(i, 1)));
  expect('entries after put overwrite', subject.entries, entries);
  expect('wrong values', countWrong(subject, entries), 0);
  phase('delete', (i) => {
    if (subject.delete(keyOf(i))) found++;
  });
  expect('deleted', found, entries);
  if (name !== 'Map') {
    const full = await openSubject(name, entries, entries);
    for (let i = 0; i < entries; i++) full.put(keyOf(i), valueOf(i));
    phase('put evicting', (i) => full.put(keyOf(i), valueOf(i)));
    expect('entries of a full cache', full.entries, entries);
    if (full.get(keyOf(entries - 1)) !== undefined) faults.push('the oldest entry was not evicted');
  }
  if (sink === 0) faults.push('the strings alone were never made');
  return { nanos, faults };
}

/** Of a sample of keys, after each was put again. */
function countWrong(subject: Subject, entries: number): number {
  const sample = Array.from({ length: SAMPLE }, (_, step) => randomIndex(step, entries, 0x1b873593));
  return sample.filter((i) => subject.get(keyOf(i)) !== valueOf(i, 1)).length;
}

export const operations = inFreshProcess(import.meta, measure);
