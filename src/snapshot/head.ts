import { SnapshotReader } from './snapshot-reader.ts';

/** With which shards derive the entity tags of short values: 64 bits. */
export type TagSeed = readonly [number, number];

const TITLE = 'key-value-cache snapshot, format 1';

/** The text of a snapshot's first section. It has the seed, so that entries have the same tags after the restart. */
export function headText(tagSeed: TagSeed): string {
  const digits = tagSeed.map((word) => word.toString(16).padStart(8, '0')).join('');
  return `${TITLE}\ntag seed ${digits}\n`;
}

export function tagSeedOf(text: string): TagSeed | undefined {
  const match = /^tag seed ([\da-f]{8})([\da-f]{8})$/m.exec(text);
  return match ? [Number.parseInt(match[1], 16), Number.parseInt(match[2], 16)] : undefined;
}

/** @returns undefined where there is no such file, or its first section is damaged. */
export async function readTagSeed(path: string): Promise<TagSeed | undefined> {
  const reader = await SnapshotReader.open(path).catch(() => undefined);
  try {
    return tagSeedOf((await reader?.head()) ?? '');
  } catch {
    // Reading the entries will say why.
    return undefined;
  } finally {
    await reader?.close();
  }
}
