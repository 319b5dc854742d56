import { open } from 'node:fs/promises';
import {
  ALIGNMENT_BYTES,
  END,
  HEAD,
  HEADER_BYTES,
  type SectionHeader,
  alignedBytes,
  isWhole,
  readHeader,
} from '../shared/snapshot-format.ts';

/** Read at once where headers are looked for. */
const SEARCH_BYTES = 2 ** 20;

export interface Section extends SectionHeader {
  /** Where its header begins. */
  readonly offset: number;
}

/** What a snapshot file has, as its headers say. */
export interface Contents {
  /** In the order in which they are to be read: the hottest first. */
  readonly sections: readonly Section[];
  /** False where it is the file of another program. */
  readonly isSnapshot: boolean;
  /** False where the end is missing. */
  readonly isComplete: boolean;
  /** Bytes in which no section was found where one must be. */
  readonly lostBytes: number;
  /** Of the whole file. */
  readonly bytes: number;
}

/** What of a file handle is needed. */
export interface SnapshotFile {
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
  stat(): Promise<{ readonly size: number }>;
  close(): Promise<void>;
}

/** Reads a snapshot file, section by section. What is whole is found, whatever else is not. */
export class SnapshotReader {
  private readonly file: SnapshotFile;

  constructor(file: SnapshotFile) {
    this.file = file;
  }

  /** @throws the system's error. */
  static async open(path: string): Promise<SnapshotReader> {
    return new SnapshotReader(await open(path, 'r'));
  }

  close(): Promise<void> {
    return this.file.close();
  }

  /** The text of the first section; '' where that is damaged. */
  async head(): Promise<string> {
    const buffer = Buffer.alloc(HEADER_BYTES);
    const header = readHeader(buffer.subarray(0, await this.read(buffer, 0)));
    if (header?.kind !== HEAD) return '';
    const body = await this.body({ ...header, offset: 0 });
    return body ? Buffer.from(body).toString('latin1') : '';
  }

  /** Looks at all headers. */
  async contents(): Promise<Contents> {
    const { size } = await this.file.stat();
    const sections: Section[] = [];
    let isComplete = false;
    let isSnapshot = false;
    let lostBytes = 0;
    const buffer = Buffer.alloc(HEADER_BYTES);
    for (let offset = 0; offset < size;) {
      const header = readHeader(buffer.subarray(0, await this.read(buffer, offset)));
      if (!header) {
        // The first section may be damaged; then the second one is where it was.
        const next = await this.findHeader(offset + ALIGNMENT_BYTES, isSnapshot ? size : 2 * ALIGNMENT_BYTES);
        if (next === undefined && !isSnapshot) break;
        lostBytes += (next ?? size) - offset;
        offset = next ?? size;
        isSnapshot = true;
        continue;
      }
      isSnapshot = true;
      if (header.kind === END) isComplete = true;
      else if (header.kind !== HEAD) sections.push({ ...header, offset });
      offset += alignedBytes(HEADER_BYTES + header.bodyBytes);
    }
    sections.sort((a, b) => b.pass - a.pass);
    return { sections, isSnapshot, isComplete, lostBytes, bytes: size };
  }

  /**
   * The body of a section; undefined where it is cut off or damaged.
   * @param createBuffer makes one that has room for it.
   */
  async body(
    section: Section,
    createBuffer: (bytes: number) => ArrayBuffer = (bytes) => new ArrayBuffer(bytes),
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    // Not of a pool: it is handed over.
    const { size } = await this.file.stat();
    if (section.offset + HEADER_BYTES + section.bodyBytes > size) return undefined;
    const body = new Uint8Array(createBuffer(section.bodyBytes), 0, section.bodyBytes);
    const read = await this.read(body, section.offset + HEADER_BYTES);
    return read === body.length && isWhole(body, section) ? body : undefined;
  }

  /** Where the next header is at a multiple of the alignment, from `offset` on; undefined if there is none before `end`. */
  private async findHeader(offset: number, end: number): Promise<number | undefined> {
    const buffer = Buffer.alloc(Math.min(SEARCH_BYTES, Math.max(ALIGNMENT_BYTES, end - offset)));
    for (let from = offset; from < end; from += buffer.length) {
      const found = buffer.subarray(0, await this.read(buffer, from));
      for (let at = 0; at < found.length; at += ALIGNMENT_BYTES) {
        if (readHeader(found.subarray(at)) && from + at < end) return from + at;
      }
    }
    return undefined;
  }

  /** @returns how many bytes there were. */
  private async read(buffer: Uint8Array, offset: number): Promise<number> {
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await this.file.read(buffer, length, buffer.length - length, offset + length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return length;
  }
}
