import type { Random } from './random.ts';

export interface HostileText {
  readonly kind: string;
  /** The server may wait for more of it, for as long as its timeouts let it. */
  readonly isBroken: boolean;
  readonly text: string;
}

/** Keys of entries that no hostile request may touch, though some try. */
export const GUARDED = 'guarded-';

const CRLF = '\r\n';
const HOST = `host: test${CRLF}`;
const JSON_TYPE = `content-type: application/json${CRLF}`;
const ODD_KEYS = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'length',
  ' ',
  '%',
  '..',
];
const METHODS = [
  'GET',
  'HEAD',
  'PUT',
  'POST',
  'PATCH',
  'OPTIONS',
  'TRACE',
  'PROPFIND',
  'QUERY',
  'get',
  'BREW',
  '',
];
/** None of which any path has. */
const WRONG_METHODS = ['PATCH', 'OPTIONS', 'PROPFIND', 'TRACE'];
const PATHS = [
  '/cache',
  '/cache/',
  '/put',
  '/get',
  '/get?key=',
  '/health',
  '/ready',
  '/stats',
  '/docs',
  '/',
  '*',
  '',
];
const ENCODINGS = [
  '%',
  '%2',
  '%zz',
  '%00',
  '%2F',
  '%2e%2e%2f',
  '%c0%af',
  '%F0%9F%92%A9',
  '%u0041',
  '+',
  '%25',
  '%7f',
  '%0d%0a',
  '?',
  '#',
  '&key=b',
  ';',
  '\\',
  '[]',
];
const NUMBERS = [
  '0',
  '-1',
  '1e999',
  '-0',
  '0.0001',
  '1e-320',
  '9007199254740993',
  '"1"',
  'null',
  '[]',
  'true',
  '{}',
];
const LENGTHS = [
  '-1',
  '+5',
  '0x5',
  '5,5',
  '5 5',
  '1e2',
  '99999999999999999999',
  '5;',
  '',
  'abc',
  '18446744073709551616',
];
const CODINGS = [
  'chunked',
  'chunked, chunked',
  'identity',
  'gzip, chunked',
  'xchunked',
  'chunked ',
  ' \x0bchunked',
  'CHUNKED',
  'chunked, identity',
  '"chunked"',
];

type Kinds = Readonly<Record<string, (random: Random) => string>>;

/** Requests that are whole: others may follow on the same connection. */
const WHOLE: Kinds = {
  'wrong methods': (random) =>
    `${pick(random, WRONG_METHODS)} ${pick(random, ['/health', '/cache', '/get'])} HTTP/1.1${CRLF}${HOST}${CRLF}`,
  'deep JSON': (random) => {
    const depth = Math.floor(2 ** (random.next() * 16));
    const open = pick(random, ['[', '{"key":', '{"__proto__":']);
    const close = open === '[' ? ']' : '}';
    return sized(`${open.repeat(depth)}1${close.repeat(depth)}`);
  },
  'huge JSON': (random) => {
    const count = Math.floor(2 ** (random.next() * 12));
    const parts = Array.from({ length: count }, (_, i) => `"${pick(random, ODD_KEYS)}${i % 9}":${i}`);
    return sized(random.chance(0.5) ? `{${parts.join()}}` : `[${'0,'.repeat(count)}0]`);
  },
  'odd properties': (random) => {
    const property = pick(random, ODD_KEYS);
    const value = pick(random, ['{"key":"a"}', '{"prototype":{"status":"x"}}', ...NUMBERS]);
    const head = random.chance(0.5) ? `"key":"${fuzzKey(random)}","value":"v",` : '';
    return sized(`{${head}"${property}":${value}}`);
  },
  'odd values': (random) => {
    const key = random.chance(0.5) ? JSON.stringify(fuzzKey(random)) : pick(random, NUMBERS);
    const value = random.chance(0.5) ? JSON.stringify(bytes(random, 20)) : pick(random, NUMBERS);
    return sized(`{"key":${key},"value":${value},"ttl":${pick(random, NUMBERS)}}`);
  },
  'odd keys': (random) => {
    const key = pick(random, ODD_KEYS);
    if (random.chance(0.5)) return sized(JSON.stringify({ key, value: key }));
    return get(
      random.chance(0.5) ? `/cache/${encodeURIComponent(key)}` : `/get?key=${encodeURIComponent(key)}`,
    );
  },
  'odd encodings': (random) => {
    const parts = Array.from({ length: random.whole(1, 6) }, () => pick(random, ENCODINGS));
    return get(pick(random, ['/cache/', '/get?key=', '/', '/docs/', '/cache/a']) + parts.join('a'));
  },
  'odd headers': (random) => {
    const header = pick(random, [
      'expect: 100-continue',
      'expect: the unexpected',
      'accept-encoding: gzip;q=0, *;q=2, ,,;',
      `accept-encoding: ${'gzip,'.repeat(1000)}`,
      'content-type: application/json; charset=utf-16',
      'content-type: text/plain',
      'content-type: application/json;;;=',
      'content-type: ',
      'content-encoding: gzip',
      'x-http-method-override: DELETE',
      'range: bytes=0-',
      'host: other',
      'if-none-match: *',
    ]);
    const body = putBody(random);
    const type = header.startsWith('content-type') ? '' : JSON_TYPE;
    return `PUT /cache HTTP/1.1${CRLF}${HOST}${type}${header}${CRLF}content-length: ${body.length}${CRLF}${CRLF}${body}`;
  },
  'valid request': validRequest,
};

/** What a server may well close the connection for. */
const BROKEN: Kinds = {
  'not JSON': (random) => sized(mutate(putBody(random), random)),
  'odd connection': (random) => {
    const options = pick(random, ['upgrade', 'close, keep-alive, upgrade', 'HTTP2-Settings, Upgrade', '']);
    return `GET /cache/a HTTP/1.1${CRLF}${HOST}connection: ${options}${CRLF}upgrade: h2c${CRLF}${CRLF}`;
  },
  'random bytes': (random) => bytes(random, random.whole(1, 2000)),
  'mutated request': (random) => harmless(mutate(validRequest(random), random)),
  'header flood': (random) => {
    const header = `${'h'.repeat(random.whole(1, 20))}: ${'v'.repeat(random.whole(0, 50))}${CRLF}`;
    return `GET /health HTTP/1.1${CRLF}${HOST}${header.repeat(random.whole(10, 3000))}${CRLF}`;
  },
  'long URL': (random) => {
    const length = pick(random, [2 ** 16, 2 ** 14, 2 ** 13, 300, 257]);
    return get(random.chance(0.5) ? `/cache/${'k'.repeat(length)}` : `/get?key=${'k'.repeat(length)}`);
  },
  'chunked lies': (random) => {
    const body = putBody(random);
    const lie = pick(random, [
      '1',
      'fffffffffffffffff',
      '-5',
      '0x10',
      'g',
      '',
      (body.length + 5).toString(16),
    ]);
    const size = random.chance(0.3) ? body.length.toString(16) : lie;
    const extension = random.chance(0.3) ? `;${'x'.repeat(random.whole(0, 30_000))}` : '';
    const end = pick(random, [
      `${CRLF}0${CRLF}${CRLF}`,
      CRLF,
      '0',
      `${CRLF}0${CRLF}x: y${CRLF}${CRLF}`,
      `\n0\n\n`,
    ]);
    return put(`transfer-encoding: chunked${CRLF}`, `${size}${extension}${CRLF}${body}${end}`);
  },
  'two lengths': (random) => {
    const body = putBody(random);
    const other = random.chance(0.5) ? body.length : random.whole(0, body.length * 2);
    return put(
      `content-length: ${body.length}${CRLF}content-length: ${other}${CRLF}`,
      body + smuggled(random),
    );
  },
  'length and chunks': (random) => {
    const rest = `0${CRLF}${CRLF}${smuggled(random)}`;
    const length = `content-length: ${random.chance(0.5) ? rest.length : random.whole(0, 9)}${CRLF}`;
    const coding = `transfer-encoding${pick(random, ['', ' ', '\t'])}: ${pick(random, CODINGS)}${CRLF}`;
    return put(random.chance(0.5) ? length + coding : coding + length, rest);
  },
  'odd length': (random) => put(`content-length: ${pick(random, LENGTHS)}${CRLF}`, putBody(random)),
  'odd coding': (random) => {
    const body = putBody(random);
    const chunks = `${body.length.toString(16)}${CRLF}${body}${CRLF}0${CRLF}${CRLF}`;
    return put(`transfer-encoding: ${pick(random, CODINGS)}${CRLF}`, chunks);
  },
  'odd methods': (random) => {
    const path = random.chance(0.2) ? 'http://test/cache/a' : pick(random, PATHS);
    const version = pick(random, ['1.1', '1.0', '1.1', '0.9', '2.0', '9.9', '']);
    return `${pick(random, METHODS)} ${path} HTTP/${version}${CRLF}${random.chance(0.8) ? HOST : ''}${CRLF}`;
  },
};

/**
 * What a hostile client writes on one connection: whole requests, `most` of them at the most, or a broken one.
 * All numbers come from `random`, so that a seed brings them back.
 */
export function hostileTexts(random: Random, most: number): HostileText[] {
  if (random.chance(0.4)) return [textOf(BROKEN, random)];
  return Array.from({ length: random.whole(1, most) }, () => textOf(WHOLE, random));
}

function textOf(kinds: Kinds, random: Random): HostileText {
  const kind = pick(random, Object.keys(kinds));
  return { kind, isBroken: kinds === BROKEN, text: kinds[kind](random) };
}

function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[random.whole(0, items.length - 1)];
}

function bytes(random: Random, length: number): string {
  return Array.from({ length }, () => String.fromCharCode(random.whole(0, 0xff))).join('');
}

function fuzzKey(random: Random): string {
  return random.chance(0.1) ? pick(random, ODD_KEYS) : `fuzz-${random.whole(0, 500)}`;
}

function putBody(random: Random): string {
  const value = random.text(random.chance(0.05) ? random.whole(0, 20_000) : random.whole(0, 60));
  const ttl = random.chance(0.2) ? { ttl: random.whole(1, 100) } : {};
  return JSON.stringify({ key: fuzzKey(random), value, ...ttl });
}

function get(path: string): string {
  return `GET ${path} HTTP/1.1${CRLF}${HOST}${CRLF}`;
}

function put(headers: string, body: string): string {
  return `PUT /cache HTTP/1.1${CRLF}${HOST}${JSON_TYPE}${headers}${CRLF}${body}`;
}

function sized(body: string): string {
  return put(`content-length: ${body.length}${CRLF}`, body);
}

/** A request within a body: it must never be taken for one of its own. */
function smuggled(random: Random): string {
  return `DELETE /cache/${GUARDED}${random.whole(0, 99)} HTTP/1.1${CRLF}${HOST}${CRLF}`;
}

function validRequest(random: Random): string {
  const key = encodeURIComponent(fuzzKey(random));
  switch (random.whole(0, 5)) {
    case 0:
      return get(`/cache/${key}`);
    case 1:
      return get(`/get?key=${key}`);
    case 2:
      return `HEAD /cache/${key} HTTP/1.1${CRLF}${HOST}${CRLF}`;
    case 3:
      return `DELETE /cache/${key} HTTP/1.1${CRLF}${HOST}${CRLF}`;
    default:
      return sized(putBody(random));
  }
}

/** A few small changes: a byte, a slice that is gone, twice there or somewhere else, an early end. */
function mutate(request: string, random: Random): string {
  let text = request;
  for (let n = random.whole(1, 4); n > 0; n--) {
    const at = random.whole(0, text.length);
    const end = Math.min(text.length, at + random.whole(1, 20));
    const slice = text.slice(at, end);
    switch (random.whole(0, 4)) {
      case 0:
        text = text.slice(0, at) + bytes(random, 1) + text.slice(at + 1);
        break;
      case 1:
        text = text.slice(0, at) + text.slice(end);
        break;
      case 2:
        text = text.slice(0, end) + slice + text.slice(end);
        break;
      case 3:
        text = slice + text.slice(0, at) + text.slice(end);
        break;
      default:
        if (random.chance(0.3)) text = text.slice(0, at);
    }
  }
  return text;
}

/** To empty the cache is allowed, and would only hide what the test looks for. */
function harmless(text: string): string {
  return /DELETE/i.test(text) && !/DELETE \/cache\/[a-z_%]/.test(text)
    ? text.replaceAll(/DELETE/gi, 'GET')
    : text;
}
