import { DATA_SETS, type DataSetName, keyOf, valueOf } from '../workloads.ts';

const SETS = Object.keys(DATA_SETS) as DataSetName[];

/** What a hit on a key of each data set looks like, by the first character of the key. */
export const HITS: ReadonlyMap<string, string> = new Map(
  SETS.map((set) => [
    DATA_SETS[set].prefix,
    JSON.stringify({ status: 'OK', key: keyOf(set, 0), value: valueOf(set, 0) }),
  ]),
);

export const STORED = JSON.stringify({ status: 'OK', message: 'Key inserted/updated successfully.' });
export const CONTENT_TYPE = 'application/json; charset=utf-8';
