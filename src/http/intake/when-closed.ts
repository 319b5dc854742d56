import type { ServerResponse } from 'node:http';

/** Calls back when the response has left, or its client has. */
export function whenClosed(response: ServerResponse, callback: () => void): void {
  if (response.closed || response.destroyed) callback();
  else response.once('close', callback);
}
