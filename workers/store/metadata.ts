import { assert } from '../../src/shared/assert.ts';
import { MAX_METADATA_TEXT_BYTES } from '../../src/shared/segment-sizes.ts';

/** What an entry is kept with beside key, value and lifetime. Texts are of one-byte characters, '' for none. */
export interface Metadata {
  readonly contentType: string;
  readonly contentEncoding: string;
  /** Two short headers that a client wants back with the value. Which ones, only their route knows. */
  readonly headers: readonly [string, string];
  /** The entity tag, of `TAG_CHARACTERS`; '' where it is not kept, and has to be derived from the content. */
  readonly tag: string;
  /** Whether all bytes of the value are ASCII. */
  readonly isText: boolean;
}

export const NO_METADATA: Metadata = {
  contentType: '',
  contentEncoding: '',
  headers: ['', ''],
  tag: '',
  isText: true,
};

/** All texts in the order in which they are stored. */
export function textOf({ contentType, contentEncoding, headers, tag }: Metadata): string {
  return contentType + contentEncoding + headers[0] + headers[1] + tag;
}

/** The lengths of the texts, a byte each. */
export function packLengths({ contentType, contentEncoding, headers }: Metadata): number {
  const lengths = [contentType.length, contentEncoding.length, headers[0].length, headers[1].length];
  assert(
    lengths.every((length) => length <= MAX_METADATA_TEXT_BYTES),
    'a text of metadata has a length of one byte',
  );
  return (lengths[0] | (lengths[1] << 8) | (lengths[2] << 16) | (lengths[3] << 24)) >>> 0;
}

/** Bytes of the texts, without the entity tag. */
export function textBytes(lengths: number): number {
  return (lengths & 0xff) + ((lengths >>> 8) & 0xff) + ((lengths >>> 16) & 0xff) + (lengths >>> 24);
}

/** Takes the texts apart again. @param lengths as `packLengths` made them. */
export function unpackMetadata(text: string, lengths: number, isText: boolean): Metadata {
  const typeEnd = lengths & 0xff;
  const encodingEnd = typeEnd + ((lengths >>> 8) & 0xff);
  const headerEnd = encodingEnd + ((lengths >>> 16) & 0xff);
  const end = headerEnd + (lengths >>> 24);
  return {
    contentType: text.slice(0, typeEnd),
    contentEncoding: text.slice(typeEnd, encodingEnd),
    headers: [text.slice(encodingEnd, headerEnd), text.slice(headerEnd, end)],
    tag: text.slice(end),
    isText,
  };
}
