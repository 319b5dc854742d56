import { LARGE_PAYLOAD, type Payload } from '../../src/shared/protocol.ts';
import type { FlowControlWindow } from './flow-control-window.ts';
import type { SegmentStore } from '../store/segment-store.ts';
import type { WaitingRead } from './read-queue.ts';
import type { ReadKind } from './reply-body.ts';

/** Sends the entry that a read was given a ticket for, in the form that it asked for, without compressing it. */
export function sendEntryLate(
  { store, window }: { readonly store: SegmentStore; readonly window: FlowControlWindow },
  read: WaitingRead,
  kind: ReadKind,
  slot: number,
): void {
  sendLate(window, read, kind.hitCode, kind.represent(store, read.key, slot), kind.head?.(store, slot));
}

/** As `sendLate`, together with others that the engine has answered at the same time. */
export function sendRemote(
  window: FlowControlWindow,
  read: WaitingRead,
  code: number,
  payload: Payload,
  head?: string,
): void {
  const { session, ticket } = read;
  if (typeof payload !== 'string') {
    sendLate(window, read, code, payload, head);
    return;
  }
  if (payload.length >= LARGE_PAYLOAD) window.send(session, payload.length);
  session.replyLate(ticket, code, payload, head);
}

/** Sends the reply that a read was given a ticket for. Its session must be open, or the room is never given back. */
export function sendLate(
  window: FlowControlWindow,
  read: WaitingRead,
  code: number,
  payload: Payload,
  head?: string,
): void {
  const { session, ticket } = read;
  if (payload.length >= LARGE_PAYLOAD) window.send(session, payload.length);
  if (typeof payload === 'string') session.post({ kind: 'late', ticket, code, payload, head });
  else session.post({ kind: 'late', ticket, code, payload, head }, [payload.buffer]);
}
