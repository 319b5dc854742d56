/** Requests as text, for a test that writes them by hand, and what came back. */
export function putText(key: string, value: string): string {
  const body = JSON.stringify({ key, value });
  return `PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

/** As a client writes that does not say how long its body is. */
export function chunkedPutText(key: string, value: string): string {
  const body = JSON.stringify({ key, value });
  return `PUT /cache HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
}

export function getText(key: string): string {
  return requestText(`/cache/${key}`);
}

export function requestText(path: string): string {
  return `GET ${path} HTTP/1.1\r\nhost: test\r\n\r\n`;
}

/** The statuses of all answers, in their order. */
export function statusesIn(text: string): string[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
}
