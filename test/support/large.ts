import { LARGE_HIT, type Payload } from '../../src/shared/protocol.ts';
import { type EntryHead, type PutOptions, decodeHead } from '../../src/shared/raw-entries.ts';
import type { LargeRead } from '../../src/shards/large-read.ts';
import type { Mailbox } from '../../src/shards/mailbox.ts';
import type { Upload } from '../../src/shards/upload.ts';
import { Random } from './random.ts';
import { PLAIN_OPTIONS, rawGet } from './raw.ts';
import { copyOf } from './shard-thread.ts';

export interface RawSettled {
  readonly code: number;
  readonly payload: Payload;
  readonly head: EntryHead | undefined;
  readonly read: LargeRead | undefined;
}

/** Sends one request. @returns its reply, with the head decoded. */
export function askRaw(mailbox: Mailbox, request: string): Promise<RawSettled> {
  return new Promise((resolve) => {
    mailbox.send(request, {
      connection: undefined,
      settle: (code, payload, delivered, head, read) => {
        const kept = copyOf(payload);
        delivered?.();
        resolve({ code, payload: kept, head: head === undefined ? undefined : decodeHead(head), read });
      },
    });
  });
}

/** Bytes of which no 4 KiB are the same. */
export function createValue(seed: number, bytes: number): Buffer {
  const value = Buffer.allocUnsafe(bytes);
  const random = new Random(seed);
  for (let i = 0; i < Math.min(bytes, 4096); i++) value[i] = random.whole(0, 255);
  for (let at = 4096; at < bytes; at += 4096) value.copy(value, at, 0, Math.min(4096, bytes - at));
  for (let at = 0; at < bytes - 4; at += 4096) value.writeUInt32LE(at, at);
  return value;
}

/** @throws where it is refused. */
export async function beginUpload(mailbox: Mailbox, key: string, bytes: number): Promise<Upload> {
  const upload = await mailbox.largeValues.beginUpload(key, bytes);
  if (typeof upload === 'number') throw new Error(`refused with ${upload}`);
  return upload;
}

/** Uploads a value in chunks as a socket has them. @returns the code of its end. */
export async function uploadWhole(
  mailbox: Mailbox,
  key: string,
  value: Buffer,
  options: Partial<PutOptions> = {},
): Promise<number> {
  const upload = await mailbox.largeValues.beginUpload(key, value.length);
  if (typeof upload === 'number') return upload;
  for (let at = 0; at < value.length; at += 65_536) await upload.write(value.subarray(at, at + 65_536));
  const { code } = await upload.commit({ ...PLAIN_OPTIONS, ...options });
  return code;
}

/** Reads to the end. @returns the code where it was cut off. */
export async function readAll(read: LargeRead): Promise<Buffer | number> {
  const parts: Buffer[] = [];
  for (;;) {
    const piece = await read.next();
    if (piece === undefined) return Buffer.concat(parts);
    if (typeof piece === 'number') return piece;
    parts.push(Buffer.from(piece.bytes));
    piece.delivered();
  }
}

/** @returns the value, or the code of the reply where there is none. */
export async function readLarge(mailbox: Mailbox, key: string): Promise<Buffer | number> {
  const { code, read } = await askRaw(mailbox, rawGet(key));
  return code === LARGE_HIT ? await readAll(read!) : code;
}
