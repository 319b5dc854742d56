import { collectGarbage, Measurement } from './child.ts';
import { type InProcessName, openSubject, type Subject } from './subjects.ts';
import { keyOf, randomIndex, scatteredIndex, valueOf } from './workload.ts';

/**
 * One subject inside a fresh process: processor time per operation, the collector's threads included, less
 * what making the keys and values cost. Each phase is preceded by the same strings made for nothing, so that
 * what is left, collections that the subject's own garbage and live objects cause among it, is the subject's.
 */
export interface OperationsJob {
  readonly subject: InProcessName;
  readonly entries: number;
}

export const OPERATIONS = [
  'put new',
  'get hit',
  'get miss',
  'put overwrite',
  'put displacing',
  'delete',
] as const;
export type Operation = (typeof OPERATIONS)[number];

/** Nanoseconds per operation; `null` where the subject has no such operation. */
export type OperationTimes = Record<Operation, number | null>;

export interface OperationsResult {
  readonly nanos: OperationTimes;
  /** What was found wrong; empty for a subject that answers rightly. */
  readonly faults: string[];
}

const SAMPLE = 2_000;
const WARM_UP = 50_000;
const HIT_SALT = 0x51ed270b;
const OVERWRITE_SALT = 0x2545f491;

let sink = 0;

interface Phase {
  readonly count: number;
  /** Which entry the `step`th operation is about. */
  readonly indexOf: (step: number) => number;
  readonly operate: (index: number) => void;
  /** Whether an operation is given a value as well as a key. */
  readonly withValue: boolean;
}

function nanosPerOperation({ count, indexOf, operate, withValue }: Phase): number {
  const makeStrings = withValue ? makeKeyAndValue : makeKey;
  collectGarbage();
  const alone = cpuMicros(count, indexOf, makeStrings);
  collectGarbage();
  const together = cpuMicros(count, indexOf, operate);
  return ((together - alone) * 1_000) / count;
}

function cpuMicros(count: number, indexOf: Phase['indexOf'], body: Phase['operate']): number {
  const from = process.cpuUsage();
  for (let step = 0; step < count; step++) body(indexOf(step));
  const { user, system } = process.cpuUsage(from);
  return user + system;
}

function makeKeyAndValue(index: number): void {
  sink += keyOf(index).length + valueOf(index, 0).length;
}

function makeKey(index: number): void {
  sink += keyOf(index).length;
}

async function warmUp(name: InProcessName): Promise<void> {
  const subject = await openSubject(name, WARM_UP);
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < WARM_UP; i++) subject.put(keyOf(i), valueOf(i, round));
    for (let i = 0; i < 2 * WARM_UP; i++) sink += subject.get(keyOf(i))?.length ?? 0;
  }
  for (let i = 0; i < WARM_UP; i++) subject.delete(keyOf(i));
}

/** Checks that `version` is what the subject holds under a sample of keys. */
function verify(subject: Subject, entries: number, versionOf: (i: number) => number, faults: string[]): void {
  for (let step = 0; step < SAMPLE; step++) {
    const i = randomIndex(step, entries, 0x1b873593);
    if (subject.get(keyOf(i)) !== valueOf(i, versionOf(i))) faults.push(`a wrong value for key ${i}`);
    if (faults.length > 5) return;
  }
}

async function measure({ subject: name, entries }: OperationsJob): Promise<OperationsResult> {
  await warmUp(name);
  const subject = await openSubject(name, entries);
  const faults: string[] = [];
  const nanos: OperationTimes = {
    'put new': null,
    'get hit': null,
    'get miss': null,
    'put overwrite': null,
    'put displacing': null,
    delete: null,
  };

  nanos['put new'] = nanosPerOperation({
    count: entries,
    indexOf: (step) => step,
    operate: (i) => subject.put(keyOf(i), valueOf(i, 0)),
    withValue: true,
  });
  if (subject.count() !== entries) faults.push(`${subject.count()} entries after ${entries} puts`);
  verify(subject, entries, () => 0, faults);

  let found = 0;
  const get = (i: number): void => {
    if (subject.get(keyOf(i)) !== undefined) found++;
  };
  const hit = (step: number): number => randomIndex(step, entries, HIT_SALT);
  nanos['get hit'] = nanosPerOperation({ count: entries, indexOf: hit, operate: get, withValue: false });
  if (found !== entries) faults.push(`${entries - found} misses among hits`);
  found = 0;
  const miss = (step: number): number => entries + step;
  nanos['get miss'] = nanosPerOperation({ count: entries, indexOf: miss, operate: get, withValue: false });
  if (found !== 0) faults.push(`${found} hits among misses`);

  const versions = new Uint8Array(entries);
  nanos['put overwrite'] = nanosPerOperation({
    count: entries,
    indexOf: (step) => randomIndex(step, entries, OVERWRITE_SALT),
    operate: (i) => {
      versions[i] = 1;
      subject.put(keyOf(i), valueOf(i, 1));
    },
    withValue: true,
  });
  verify(subject, entries, (i) => versions[i], faults);
  subject.checkIntegrity?.();

  let removed = 0;
  nanos.delete = nanosPerOperation({
    count: entries,
    indexOf: (step) => scatteredIndex(step, entries),
    operate: (i) => {
      if (subject.delete(keyOf(i))) removed++;
    },
    withValue: false,
  });
  if (removed !== entries || subject.count() !== 0)
    faults.push(`${subject.count()} entries left after deletes`);

  nanos['put displacing'] = await displacing(name, entries, faults);
  if (sink === 0) faults.push('the strings alone were never made');
  return { nanos, faults };
}

/** New keys into a full cache: each put also removes the least recently used entry. A `Map` cannot. */
async function displacing(name: InProcessName, entries: number, faults: string[]): Promise<number | null> {
  if (name === 'Map') return null;
  const subject = await openSubject(name, entries, entries);
  for (let i = 0; i < entries; i++) subject.put(keyOf(i), valueOf(i, 0));
  const nanos = nanosPerOperation({
    count: entries,
    indexOf: (step) => entries + step,
    operate: (i) => subject.put(keyOf(i), valueOf(i, 0)),
    withValue: true,
  });
  if (subject.count() !== entries) faults.push(`${subject.count()} entries with room for ${entries}`);
  if (subject.get(keyOf(entries - 1)) !== undefined) faults.push('the oldest entry was not displaced');
  return nanos;
}

export const operations = new Measurement<OperationsJob, OperationsResult>(import.meta.url, measure);
if (import.meta.main) await operations.serve();
