import { setImmediate as nextTurn } from 'node:timers/promises';
import { Measurement } from '../store/child.ts';
import { OurStore } from '../store/our-store.ts';
import { keyOf, randomIndex, randomUnit, valueOf } from '../store/workload.ts';
import { settledRssBytes, stretchHeap } from './footprint-child.ts';
import { meanValueBytes, type Sizes, valueBytesOf } from './value-sizes.ts';

/** How much of what our store reserves is in use while its content is replaced over and over. */
export interface ReplacementJob {
  readonly sizes: Sizes;
  /** What is put before the replacing begins, keys and values. */
  readonly contentBytes: number;
  readonly turnovers: number;
}

export interface ReplacementPoint {
  /** Bytes put since the fill ÷ content. */
  readonly turnover: number;
  readonly liveToReserved: number;
  readonly contentToReserved: number;
}

export interface ReplacementResult {
  readonly entries: number;
  readonly points: ReplacementPoint[];
  /** The lowest share seen after any single operation since the fill. */
  readonly leastLiveToReserved: number;
  readonly end: ReplacementPoint;
  readonly rssToReserved: number;
  readonly afterMaintenance: ReplacementPoint;
  readonly faults: string[];
}

/** One operation in so many deletes a key instead of replacing it. */
const DELETE_SHARE = 0.2;
const POINTS_PER_TURNOVER = 10;
const MAINTENANCE_STEP_BYTES = 2 ** 16;

async function measure({ sizes, contentBytes, turnovers }: ReplacementJob): Promise<ReplacementResult> {
  stretchHeap();
  const rssBefore = await settledRssBytes();
  const store = new OurStore();
  const keys = Math.round(contentBytes / meanValueBytes(sizes));
  // Version 0 is "not there".
  const versions = new Uint32Array(keys);
  let contentHeld = 0;
  const bytesOf = (i: number): number => (versions[i] === 0 ? 0 : 16 + valueBytesOf(sizes, i, versions[i]));
  const put = (i: number, version: number): number => {
    contentHeld -= bytesOf(i);
    versions[i] = version;
    contentHeld += bytesOf(i);
    store.put(keyOf(i), valueOf(i, version, valueBytesOf(sizes, i, version)));
    return bytesOf(i);
  };
  const remove = (i: number): void => {
    contentHeld -= bytesOf(i);
    versions[i] = 0;
    store.delete(keyOf(i));
  };
  const point = (turnover: number): ReplacementPoint => {
    const { liveBytes, reservedBytes } = store.stats();
    return {
      turnover,
      liveToReserved: liveBytes / reservedBytes,
      contentToReserved: contentHeld / reservedBytes,
    };
  };

  for (let i = 0; i < keys; i++) put(i, 1);
  const points = [point(0)];
  let [putBytes, leastLiveToReserved] = [0, 1];
  for (let step = 1; putBytes < turnovers * contentBytes; step++) {
    const i = randomIndex(step, keys, 0x2545f491);
    if (randomUnit(step, 0x7f4a7c15) < DELETE_SHARE) remove(i);
    else putBytes += put(i, step + 1);
    const { liveBytes, reservedBytes } = store.stats();
    leastLiveToReserved = Math.min(leastLiveToReserved, liveBytes / reservedBytes);
    const turnover = putBytes / contentBytes;
    if (turnover * POINTS_PER_TURNOVER >= points.length) points.push(point(turnover));
    if (step % 10_000 === 0) await nextTurn();
  }
  const end = point(putBytes / contentBytes);
  const rssToReserved = ((await settledRssBytes()) - rssBefore) / store.stats().reservedBytes;
  while (store.segment.maintain(MAINTENANCE_STEP_BYTES));
  const afterMaintenance = point(putBytes / contentBytes);

  const faults: string[] = [];
  for (let i = 0; i < keys && faults.length < 5; i++) {
    const bytes = valueBytesOf(sizes, i, versions[i]);
    const expected = versions[i] === 0 ? undefined : valueOf(i, versions[i], bytes);
    if (store.get(keyOf(i)) !== expected) faults.push(`a wrong value for key ${i}`);
  }
  store.checkIntegrity();
  return {
    entries: store.count(),
    points,
    leastLiveToReserved,
    end,
    rssToReserved,
    afterMaintenance,
    faults,
  };
}

export const replacement = new Measurement<ReplacementJob, ReplacementResult>(import.meta.url, measure);
if (import.meta.main) await replacement.serve();
