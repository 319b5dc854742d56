/** Bytes and text of one-byte characters, to be put one behind the other. */
export type Parts = readonly (string | Uint8Array)[];

export function lengthOf(parts: Parts): number {
  return parts.reduce((length, part) => length + part.length, 0);
}

export function writeParts(target: Buffer, parts: Parts): void {
  let at = 0;
  for (const part of parts) {
    if (typeof part === 'string') target.write(part, at, 'latin1');
    // Not `set`: it copies to shared memory word by word.
    else Buffer.from(part.buffer, part.byteOffset, part.length).copy(target, at);
    at += part.length;
  }
}
