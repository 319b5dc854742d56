import type { Payload } from '../../src/shared/protocol.ts';
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
  if (typeof payload === 'string') {
    window.count(read.session, payload.length);
    read.session.replyLate(read.ticket, code, payload, head);
  } else {
    sendLate(window, read, code, payload, head);
  }
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
  window.count(session, payload.length);
  if (typeof payload === 'string') session.post({ kind: 'late', ticket, code, payload, head });
  else session.post({ kind: 'late', ticket, code, payload, head }, [payload.buffer]);
}
