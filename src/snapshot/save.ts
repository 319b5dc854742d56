import { free } from '../shared/free.ts';
import type { SavedSection } from '../shared/snapshots.ts';
import { type TagSeed, headText } from './head.ts';
import type { SnapshotShards } from './snapshot-shards.ts';
import { SnapshotWriter } from './snapshot-writer.ts';

type Control = NonNullable<SnapshotShards['shards'][number]['mailbox']>['control'];

export interface SaveResult {
  readonly entries: number;
  readonly bytes: number;
}

export interface SaveOptions {
  /** Nobody waits for answers: the shards work without rests. */
  readonly isUrgent: boolean;
  readonly tagSeed: TagSeed;
  /** Gives it up. */
  readonly signal: AbortSignal;
}

/**
 * Writes a snapshot of all shards that are up. Their sections come in turn: so what is hottest in any of them stands at the
 * front. While one is written, the next one is made.
 * @throws where it fails. Then the old file is still there.
 */
export async function saveSnapshot(
  path: string,
  { shards }: SnapshotShards,
  options: SaveOptions,
): Promise<SaveResult> {
  const controls = shards.flatMap(({ mailbox }) => (mailbox ? [mailbox.control] : []));
  const writer = await SnapshotWriter.create(path, headText(options.tagSeed));
  try {
    await writeAll(writer, controls, options);
    await writer.finish();
    return { entries: writer.entries, bytes: writer.bytes };
  } catch (error) {
    await Promise.all(controls.map((control) => control.request({ kind: 'save-end' })));
    await writer.discard();
    throw error;
  }
}

async function writeAll(
  writer: SnapshotWriter,
  controls: readonly Control[],
  { isUrgent, signal }: SaveOptions,
): Promise<void> {
  let writing: Promise<void> = Promise.resolve();
  let open = controls.map((control) => ({ control, isFirst: true }));
  while (open.length > 0) {
    const still: typeof open = [];
    for (const { control, isFirst } of open) {
      let section = await nextSection(control, isFirst, isUrgent);
      if (section) still.push({ control, isFirst: false });
      while (section) {
        await writing;
        signal.throwIfAborted();
        writing = writeSection(writer, section);
        // It is awaited before the next one. If it fails first, that is no unhandled rejection.
        writing.catch(() => undefined);
        section = section.goesOn ? await nextSection(control, false, isUrgent) : undefined;
      }
    }
    open = still;
  }
  await writing;
}

async function nextSection(
  control: Control,
  isFirst: boolean,
  isUrgent: boolean,
): Promise<SavedSection | undefined> {
  const reply = await control.request({ kind: 'save', isFirst, isUrgent });
  if (reply?.kind !== 'save') throw new Error('a shard died meanwhile');
  return reply.section;
}

async function writeSection(writer: SnapshotWriter, { bytes, entries }: SavedSection): Promise<void> {
  try {
    await writer.write(bytes, entries);
  } finally {
    free(bytes.buffer);
  }
}
