import type { IncomingMessage } from 'node:http';

/** Whether a request has a header. Node would make an object of all of them first. @param name in lower case. */
export function hasHeader({ rawHeaders }: IncomingMessage, name: string): boolean {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i].length === name.length && rawHeaders[i].toLowerCase() === name) return true;
  }
  return false;
}
