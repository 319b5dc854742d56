import { type EntryTexts, decodeTexts, encodeTexts } from '../../src/shared/raw-entries.ts';
import { TAG_CHARACTERS } from '../../src/shared/segment-sizes.ts';

/**
 * How an entry lies in the engine, under its key behind `KEY_PREFIX`. Its lifetime is that of the engine's key.
 *
 *     kvc1 ‖ tag:16 ‖ flags:1 ‖ texts ‖ value        texts as in `raw-entries.ts`; flag 1: all bytes are ASCII
 *
 * The tag stands at a fixed place, since scripts in the engine compare it. What does not begin like this is no entry.
 */
export const KEY_PREFIX = 'kvc:';
export const MAGIC = 'kvc1';
export const TAG_START = MAGIC.length;
export const TAG_END = TAG_START + TAG_CHARACTERS;
const IS_TEXT = 1;
const TEXTS_START = TAG_END + 1;

export interface EntryRecord extends EntryTexts {
  readonly tag: string;
  /** Whether all bytes of the value are ASCII. */
  readonly isText: boolean;
  readonly value: Uint8Array;
}

export function encodeRecord({ value, tag, isText, ...texts }: EntryRecord): Buffer {
  const head = MAGIC + tag + String.fromCharCode(isText ? IS_TEXT : 0) + encodeTexts(texts);
  const bytes = Buffer.allocUnsafe(head.length + value.length);
  bytes.write(head, 0, 'latin1');
  bytes.set(value, head.length);
  return bytes;
}

/** @returns undefined where it is no entry of this cache. The value is a view of the bytes. */
export function decodeRecord(bytes: Buffer): EntryRecord | undefined {
  if (bytes.length < TEXTS_START + 4 || bytes.toString('latin1', 0, TAG_START) !== MAGIC) return undefined;
  let valueStart = TEXTS_START + 4;
  for (let i = 0; i < 4; i++) valueStart += bytes[TEXTS_START + i];
  if (valueStart > bytes.length) return undefined;
  return {
    tag: bytes.toString('latin1', TAG_START, TAG_END),
    isText: (bytes[TAG_END] & IS_TEXT) !== 0,
    ...decodeTexts(bytes.toString('latin1', TEXTS_START, valueStart), 0),
    value: bytes.subarray(valueStart),
  };
}
