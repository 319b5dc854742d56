import { setImmediate as nextTurn } from 'node:timers/promises';
import { RecordCursor } from '../shared/snapshot-format.ts';
import type { ShardNumberAt } from './snapshot-shards.ts';

/** Records that are looked at before others have their turn: a quarter of a millisecond. */
const STEP_RECORDS = 512;

/**
 * Divides the records of a section among the shards, each part in the order of the whole. One shard gets the body itself.
 * @returns for each shard the bytes of its records, undefined where it has none.
 */
export async function splitRecords(
  body: Uint8Array<ArrayBuffer>,
  shards: number,
  shardNumberAt: ShardNumberAt,
): Promise<(Uint8Array<ArrayBuffer> | undefined)[]> {
  if (shards === 1) return [body];
  const words = new Uint32Array(body.buffer, 0, body.length >>> 2);
  const record = new RecordCursor();
  const partWords = Array.from({ length: shards }, () => 0);
  const owners: number[] = [];
  let count = 0;
  for (let at = 0; record.moveTo(words, at); at = record.end) {
    const owner = shardNumberAt(body, record.keyStart, record.keyBytes);
    owners.push(owner);
    partWords[owner] += record.end - at;
    if (++count % STEP_RECORDS === 0) await nextTurn();
  }
  const parts = partWords.map((length) => (length === 0 ? undefined : new Uint32Array(length)));
  const filled = partWords.map(() => 0);
  let at = 0;
  for (const [i, owner] of owners.entries()) {
    record.moveTo(words, at);
    parts[owner]!.set(words.subarray(at, record.end), filled[owner]);
    filled[owner] += record.end - at;
    at = record.end;
    if (i % STEP_RECORDS === 0) await nextTurn();
  }
  return parts.map((part) => part && new Uint8Array(part.buffer));
}

/** The shard that owns the one record of a section. */
export function ownerOf(body: Uint8Array<ArrayBuffer>, shardNumberAt: ShardNumberAt): number | undefined {
  const record = new RecordCursor();
  const words = new Uint32Array(body.buffer, 0, body.length >>> 2);
  return record.moveTo(words, 0) ? shardNumberAt(body, record.keyStart, record.keyBytes) : undefined;
}
