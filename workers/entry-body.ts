import { HANDED_OVER_BYTES, type Payload, bytesOf } from '../src/shared/protocol.ts';
import { GrowingBuffer } from './growing-buffer.ts';
import type { SegmentStore } from './store/segment-store.ts';

/** Of a long value, so much is made into JSON at once. */
const PIECE_BYTES = 2 ** 13;
/** By how much the whole may have more to escape than its first piece, before the buffer has to grow. */
const STRETCH_SLACK = 1 / 16;

/**
 * The whole JSON body of a hit. The first time it is asked for, a value is searched for what must be escaped; one
 * that has nothing is copied from then on.
 */
export function entryBody(store: SegmentStore, key: string, slot: number): Payload {
  const head = `{"status":"OK","key":${JSON.stringify(key)},"value":"`;
  const isPlain = store.isPlain(slot);
  if (store.valueBytes(slot) >= HANDED_OVER_BYTES) {
    // Strings as long as the value would be left to the collector, each beside all the others.
    const value = store.valueView(slot);
    if (isPlain) return bytesOf(head, value, '"}');
    const body = escapeInPieces(head, value);
    if (body.length === head.length + value.length + 2) store.markPlain(slot);
    return body;
  }
  const value = store.value(slot);
  if (isPlain) return `${head}${value}"}`;
  const text = escape(value);
  if (text.length === value.length) store.markPlain(slot);
  return `${head}${text}"}`;
}

function escapeInPieces(head: string, value: Buffer): Buffer<ArrayBuffer> {
  const first = escape(value.toString('latin1', 0, PIECE_BYTES));
  const stretch = first.length / Math.min(value.length, PIECE_BYTES);
  const body = new GrowingBuffer(head.length + value.length * stretch * (1 + STRETCH_SLACK));
  body.add(head);
  body.add(first);
  for (let from = PIECE_BYTES; from < value.length; from += PIECE_BYTES) {
    body.add(escape(value.toString('latin1', from, from + PIECE_BYTES)));
  }
  body.add('"}');
  return body.take();
}

/** Text as it stands in JSON between its quotes. */
function escape(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}
