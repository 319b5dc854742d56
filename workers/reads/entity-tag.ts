import { createHash, hash } from 'node:crypto';
import { HANDED_OVER_BYTES } from '../../src/shared/protocol.ts';
import type { EntryTexts } from '../../src/shared/raw-entries.ts';
import { TAG_CHARACTERS } from '../../src/shared/segment-sizes.ts';
import type { Metadata, SegmentStore } from '../store/segment-store.ts';

type Representation = Pick<EntryTexts, 'contentType' | 'contentEncoding'>;

/**
 * Values of this size or more are kept with their tag. That of a shorter one is derived again for each read, which takes
 * half a microsecond for 100 bytes: see ADR 60.
 */
export const KEPT_TAG_BYTES = HANDED_OVER_BYTES;

const ALGORITHM = 'sha256';
const ENCODING = 'base64url';

/** The entity tag: 96 bits of a hash of value, content type and content encoding. It is strong, and has no quotes. */
export function entityTag(value: Uint8Array, representation: Representation): string {
  const suffix = suffixOf(representation);
  if (value.length >= KEPT_TAG_BYTES) return new TagBuilder().add(value).finish(representation);
  const bytes = Buffer.allocUnsafe(value.length + suffix.length);
  bytes.set(value);
  bytes.write(suffix, value.length, 'latin1');
  return hash(ALGORITHM, bytes, ENCODING).slice(0, TAG_CHARACTERS);
}

/** Makes the same tag from a value that comes in pieces. */
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
