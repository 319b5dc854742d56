/** How one kind of server wants to be asked, and how it answers. */
export interface Dialect {
  get(key: string): HttpRequest;
  put(key: string, value: string): HttpRequest;
  /** The value in the body of a GET's answer. */
  readValue(body: string): unknown;
  readonly statuses: { readonly hit: number; readonly stored: number; readonly miss: number };
}

export interface HttpRequest {
  readonly method: 'GET' | 'PUT';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export type DialectName = 'cache' | 'webdis' | 'memcached';

export const DIALECTS: Readonly<Record<DialectName, Dialect>> = {
  /** The API of key-value-cache, which the servers written for comparison share. */
  cache: {
    get: (key) => ({ method: 'GET', path: `/cache/${key}`, headers: {} }),
    put: (key, value) => ({
      method: 'PUT',
      path: '/cache',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ key, value }),
    }),
    readValue: (body) => fieldOf(body, 'value'),
    statuses: { hit: 200, stored: 201, miss: 404 },
  },
  /** Redis commands as paths. A miss is 200 with null, so hits are told by the length of the answer. */
  webdis: {
    get: (key) => ({ method: 'GET', path: `/GET/${key}`, headers: {} }),
    put: (key, value) => ({ method: 'PUT', path: `/SET/${key}`, headers: {}, body: value }),
    readValue: (body) => fieldOf(body, 'GET'),
    statuses: { hit: 200, stored: 200, miss: 200 },
  },
  /** nginx's memc module: plain values, no JSON around them. */
  memcached: {
    get: (key) => ({ method: 'GET', path: `/cache/${key}`, headers: {} }),
    put: (key, value) => ({ method: 'PUT', path: `/cache/${key}`, headers: {}, body: value }),
    readValue: (body) => body,
    statuses: { hit: 200, stored: 201, miss: 404 },
  },
};

function fieldOf(body: string, name: string): unknown {
  const parsed: unknown = JSON.parse(body);
  return typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, name) : undefined;
}
