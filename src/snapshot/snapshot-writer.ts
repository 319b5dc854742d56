import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { END, HEAD, HEADER_BYTES, alignedBytes, sealSection } from '../shared/snapshot-format.ts';

/** Data that has been written and is not on the disk yet is bounded by this, so that the last sync does not take long. */
const MAX_UNSYNCED_BYTES = 64 * 2 ** 20;

/**
 * Writes a snapshot beside the old one, and puts it in its place when it is complete and on the disk. So whatever ends the
 * process, there is the old file or the new one.
 */
export class SnapshotWriter {
  /** Where the next section begins. */
  bytes = 0;
  entries = 0;

  private readonly path: string;
  private readonly file: FileHandle;
  private unsyncedBytes = 0;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.file = file;
  }

  /** @param head the text of the first section. */
  static async create(path: string, head: string): Promise<SnapshotWriter> {
    await discardUnfinished(path);
    // Values are private. Nobody else's file is written to.
    const file = await open(unfinishedPath(path), 'wx', 0o600);
    const writer = new SnapshotWriter(path, file);
    await writer.writeOwn(HEAD, head);
    return writer;
  }

  /** @param section header and body. */
  async write(section: Uint8Array, entries: number): Promise<void> {
    let from = 0;
    while (from < section.length) {
      const { bytesWritten } = await this.file.write(section, from, section.length - from, this.bytes + from);
      from += bytesWritten;
    }
    this.bytes += alignedBytes(section.length);
    this.entries += entries;
    this.unsyncedBytes += section.length;
    if (this.unsyncedBytes < MAX_UNSYNCED_BYTES) return;
    this.unsyncedBytes = 0;
    await this.file.datasync();
  }

  /** The snapshot is complete. */
  async finish(): Promise<void> {
    await this.writeOwn(END, '');
    await this.file.sync();
    await this.file.close();
    await rename(unfinishedPath(this.path), this.path);
    await syncFolder(dirname(this.path));
  }

  /** Gives it up. */
  async discard(): Promise<void> {
    await this.file.close().catch(() => undefined);
    await discardUnfinished(this.path);
  }

  private async writeOwn(kind: number, text: string): Promise<void> {
    const section = new Uint8Array(HEADER_BYTES + text.length);
    section.set(Buffer.from(text, 'latin1'), HEADER_BYTES);
    sealSection(section, { kind, pass: 0, shard: 0, entries: this.entries });
    await this.write(section, 0);
  }
}

/** Removes what a process has left that ended while it wrote. */
export function discardUnfinished(path: string): Promise<void> {
  return rm(unfinishedPath(path), { force: true });
}

function unfinishedPath(path: string): string {
  return `${path}.unfinished`;
}

/** The new name of a file is on the disk when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
