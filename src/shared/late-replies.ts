import { UNDER_TICKET, decodeU16, decodeU32, encodeRawReply, encodeU32 } from './protocol.ts';

/** A reply that a ticket was given for. */
export interface LateReply {
  readonly ticket: number;
  readonly code: number;
  readonly payload: string;
  /** Only of a raw entry. */
  readonly head: string | undefined;
  /** Where the next reply begins. */
  readonly end: number;
}

/** @param head of a raw entry; '' for none. */
export function encodeLateReply(ticket: number, code: number, payload: string, head: string): string {
  return String.fromCharCode(UNDER_TICKET) + encodeU32(ticket) + encodeRawReply(code, head, payload);
}

/** @param at where its ticket stands. */
export function decodeLateReply(replies: string, at: number): LateReply {
  const headStart = at + 11;
  const bodyStart = headStart + decodeU16(replies, at + 5);
  const end = bodyStart + decodeU32(replies, at + 7);
  return {
    ticket: decodeU32(replies, at),
    code: replies.charCodeAt(at + 4),
    payload: replies.slice(bodyStart, end),
    head: bodyStart > headStart ? replies.slice(headStart, bodyStart) : undefined,
    end,
  };
}
