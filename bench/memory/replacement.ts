import { setImmediate as nextTurn } from 'node:timers/promises';
import { inFreshProcess } from '../lib/child.ts';
import { KEY_BYTES, keyOf, randomIndex, randomUnit, type Sizes, sizedValueOf } from '../lib/data.ts';
import { OurStore } from '../lib/product.ts';
import { settledRssBytes, stretchHeap } from './footprint.ts';

interface ReplacementJob {
  readonly sizes: Sizes;
  /** Keys and values that are put before the replacing begins. */
  readonly contentBytes: number;
  /** How many times over the content is replaced. */
  readonly turnovers: number;
}

/** How much of what our store reserves is in use while its content is replaced over and over. */
export interface ReplacementResult {
  readonly entries: number;
  /** Live bytes as a share of what is reserved: at the end, at the lowest, and after all upkeep. */
  readonly liveShare: number;
  readonly lowestLiveShare: number;
  readonly idleLiveShare: number;
  readonly rssToReserved: number;
  readonly faults: readonly string[];
}

/** The share of operations that delete a key instead of replacing it. */
const DELETE_SHARE = 0.2;
const UPKEEP_STEP_BYTES = 2 ** 16;

async function measure({ sizes, contentBytes, turnovers }: ReplacementJob): Promise<ReplacementResult> {
  stretchHeap();
  const rssBefore = await settledRssBytes();
  const store = new OurStore();
  /** What each key must hold: the number of its last PUT, or 0 once it is deleted. */
  const versions: number[] = [];
  const put = (i: number, version: number): number => {
    const value = sizedValueOf(sizes, i, version);
    versions[i] = version;
    store.put(keyOf(i), value);
    return KEY_BYTES + value.length;
  };
  const liveShare = (): number => store.liveBytes / store.reservedBytes;

  for (let bytes = 0; bytes < contentBytes;) bytes += put(versions.length, 1);
  let [putBytes, lowestLiveShare] = [0, 1];
  for (let step = 1; putBytes < turnovers * contentBytes; step++) {
    const i = randomIndex(step, versions.length, 0x2545f491);
    if (randomUnit(step, 0x7f4a7c15) < DELETE_SHARE) {
      versions[i] = 0;
      store.delete(keyOf(i));
    } else {
      putBytes += put(i, step + 1);
    }
    lowestLiveShare = Math.min(lowestLiveShare, liveShare());
    if (step % 10_000 === 0) await nextTurn();
  }
  const endLiveShare = liveShare();
  const rssToReserved = ((await settledRssBytes()) - rssBefore) / store.reservedBytes;
  while (store.maintain(UPKEEP_STEP_BYTES));
  const wrong = versions.findIndex((version, i) => {
    const expected = version === 0 ? undefined : sizedValueOf(sizes, i, version);
    return store.get(keyOf(i)) !== expected;
  });
  store.checkIntegrity();
  return {
    entries: store.entries,
    liveShare: endLiveShare,
    lowestLiveShare,
    idleLiveShare: liveShare(),
    rssToReserved,
    faults: wrong === -1 ? [] : [`a wrong value for key ${wrong}`],
  };
}

export const replacement = inFreshProcess(import.meta, measure);
