import { createHash, getRandomValues } from 'node:crypto';
import type { EntryTexts } from '../../src/shared/raw-entries.ts';
import { TAG_CHARACTERS } from '../../src/shared/segment-sizes.ts';
import type { Metadata, SegmentStore } from '../store/segment-store.ts';
import { TagHash } from './tag-hash.ts';

type Representation = Pick<EntryTexts, 'contentType' | 'contentEncoding'>;

/**
 * Values of this size or more are kept with their tag. That of a shorter one is derived again for each read, which takes
 * an eighth of a microsecond for 100 bytes, and more than half of one for this size: see ADR 60.
 */
export const KEPT_TAG_BYTES = 2 ** 10;
/** From this size on SHA-256 is as fast. */
const LONG_BYTES = 2 ** 14;

const ALGORITHM = 'sha256';
const ENCODING = 'base64url';

/** No client may know its seed: two values with one tag could be made on purpose. */
const [seed0, seed1] = getRandomValues(new Int32Array(2));
let shortTags = new TagHash(LONG_BYTES, [seed0, seed1]);

/** To be called before the first request: all shards derive the same tags from then on. */
export function seedTags(seed: readonly [number, number]): void {
  shortTags = new TagHash(LONG_BYTES, seed);
}

/**
 * The entity tag, without quotes: a hash of value, content type and content encoding. It is strong. That of a value
 * of less than 16 KiB has 64 bits, and is another one with another seed; those of longer values have 96.
 */
export function entityTag(value: Uint8Array, representation: Representation): string {
  if (value.length >= LONG_BYTES) return new TagBuilder().add(value).finish(representation);
  return shortTags.of(value, representation.contentType, representation.contentEncoding);
}

/** Makes the tag of a long value, which may come in pieces. */
export class TagBuilder {
  private readonly hash = createHash(ALGORITHM);

  add(piece: Uint8Array): this {
    this.hash.update(piece);
    return this;
  }

  finish(representation: Representation): string {
    this.hash.update(suffixOf(representation), 'latin1');
    return this.hash.digest(ENCODING).slice(0, TAG_CHARACTERS);
  }
}

/** The tag of a stored entry. */
export function tagOfEntry(store: SegmentStore, slot: number, metadata: Metadata): string {
  return metadata.tag === '' ? entityTag(store.valueView(slot), metadata) : metadata.tag;
}

/** Ends with the lengths, so that no two entries are the same to the hash. */
function suffixOf({ contentType, contentEncoding }: Representation): string {
  const lengths = String.fromCharCode(contentType.length, contentEncoding.length);
  return contentType + contentEncoding + lengths;
}
