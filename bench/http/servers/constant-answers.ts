import { DATA_SET_NAMES, DATA_SETS, keyOf, valueOf } from '../data.ts';

/** What a hit on a key of each data set looks like, by the first character of the key. */
export const HITS: ReadonlyMap<string, string> = new Map(
  DATA_SET_NAMES.map((set) => [
    DATA_SETS[set].prefix,
    JSON.stringify({ status: 'OK', key: keyOf(set, 0), value: set === 'absent' ? '' : valueOf(set, 0) }),
  ]),
);

export const STORED = JSON.stringify({ status: 'OK', message: 'Key inserted/updated successfully.' });
export const CONTENT_TYPE = 'application/json; charset=utf-8';
