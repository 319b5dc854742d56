import { LARGE_PAYLOAD, type Payload } from '../../src/shared/protocol.ts';
import type { FlowControlWindow } from './flow-control-window.ts';
import type { WaitingRead } from './read-queue.ts';

/** Sends the reply that a read was given a ticket for. Its session must be open, or the room is never given back. */
export function sendLate(window: FlowControlWindow, read: WaitingRead, code: number, payload: Payload): void {
  const { session, ticket } = read;
  if (payload.length >= LARGE_PAYLOAD) window.send(session, payload.length);
  if (typeof payload === 'string') session.post({ kind: 'late', ticket, code, payload });
  else session.post({ kind: 'late', ticket, code, payload }, [payload.buffer]);
}
