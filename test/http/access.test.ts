import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { readAccessFiles } from '../../src/config/access-files.ts';
import { readSettings } from '../../src/config/settings.ts';
import { type Certificate, makeCertificate } from '../support/certificate.ts';
import { ChildServer } from '../support/child-server.ts';
import { type Answer, type Call, HttpClient, expectError } from '../support/http-client.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { startTestServer } from '../support/server.ts';

/** Every character that a token may be made of beside letters and figures. */
const TOKEN = 'S3cret!"#$%&\'()*+,-./:;<=>?@[]^_`{|}~\\';
const JSON_TYPE = { 'content-type': 'application/json' };
const ENTRY = '{"key":"a","value":"v"}';

/** One request of every route, and some of none. */
const GUARDED: readonly Call[] = [
  { method: 'PUT', path: '/cache', headers: JSON_TYPE, body: ENTRY },
  { path: '/cache/a' },
  { method: 'HEAD', path: '/cache/a' },
  { method: 'DELETE', path: '/cache/a' },
  { method: 'DELETE', path: '/cache' },
  { method: 'POST', path: '/put', headers: JSON_TYPE, body: ENTRY },
  { path: '/get?key=a' },
  { path: '/cache?key=a' },
  { method: 'HEAD', path: '/cache?key=a' },
  { method: 'DELETE', path: '/cache?key=a' },
  { method: 'DELETE', path: '/cache?' },
  { path: '/stats' },
  { path: '/metrics' },
  { method: 'HEAD', path: '/stats' },
  { path: '/dashboard/entry?key=a' },
  { path: '/docs/nothing' },
  { method: 'POST', path: '/' },
  { method: 'DELETE', path: '/docs' },
  { path: '/nothing' },
  { path: '/health/' },
  { path: '//health' },
  { path: '/health/../stats' },
  { path: '/stats?/health' },
  { method: 'POST', path: '/cache', headers: JSON_TYPE, body: ENTRY },
  { method: 'PUT', path: '/cache', headers: { 'content-type': 'text/plain' }, body: 'text' },
];

/** What a browser needs before anybody has given it the token. */
const PAGES = [
  '/',
  '/dashboard',
  '/dashboard/',
  '/dashboard/page.js',
  '/dashboard/uPlot.min.css',
  '/docs',
  '/docs/',
  '/docs/swagger-ui.css',
  '/docs/swagger-ui-bundle.js',
  '/openapi.json',
];

let folder: string;
let certificate: Certificate;
let otherCertificate: Certificate;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvc-access-'));
  certificate = makeCertificate(folder, 'server');
  otherCertificate = makeCertificate(folder, 'other');
});

afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function withToken(call: Call, authorization: string): Call {
  return { ...call, headers: { ...call.headers, authorization } };
}

function expectUnauthorized(answer: Answer, method = 'GET'): void {
  expect(answer.headers['www-authenticate']).toBe('Bearer');
  if (method === 'HEAD') expect([answer.status, answer.text]).toStrictEqual([401, '']);
  else expectError(answer, 401, 'CACHE_ERR_UNAUTHORIZED', /Bearer/);
}

describe('AUTH_TOKEN', () => {
  test('every route but probes and pages wants it, and nothing is done without', async () => {
    await using server = await startTestServer({ AUTH_TOKEN: TOKEN });
    const { client } = server;
    const call = withToken(
      { method: 'PUT', path: '/cache', headers: JSON_TYPE, body: ENTRY },
      `Bearer ${TOKEN}`,
    );
    expect((await client.call(call)).status).toBe(201);
    for (const guarded of GUARDED) {
      expectUnauthorized(await client.call(guarded), guarded.method);
      expectUnauthorized(await client.call(withToken(guarded, `Bearer ${TOKEN}x`)), guarded.method);
    }
    const kept = await client.get('/cache/a', { authorization: `Bearer ${TOKEN}` });
    expect((await client.get('/cache/a', { authorization: `bearer ${TOKEN}` })).status).toBe(kept.status);
    expect(kept.text).toContain('"v"');
    for (const guarded of GUARDED) {
      const { status } = await client.call(withToken(guarded, `Bearer ${TOKEN}`));
      expect({ guarded, status }).toStrictEqual({ guarded, status: expect.any(Number) });
      expect([401, 500]).not.toContain(status);
    }
  });

  test('any other is refused, however near it comes', async () => {
    await using server = await startTestServer({ AUTH_TOKEN: TOKEN, SHARDS: '1' });
    const others = [
      '',
      'Bearer',
      'Bearer ',
      `Basic ${TOKEN}`,
      TOKEN,
      `Bearer ${TOKEN.slice(0, -1)}`,
      `Bearer ${TOKEN}x`,
      `Bearer ${TOKEN.slice(0, -1)}x`,
      `Bearer ${TOKEN.toLowerCase()}`,
      `Bearer ${TOKEN}, Bearer ${TOKEN}`,
      `Bearer ${'x'.repeat(8000)}`,
    ];
    for (const authorization of others)
      expectUnauthorized(await server.client.get('/cache/a', { authorization }));
  });

  test('probes are open, whatever their query', async () => {
    await using server = await startTestServer({ AUTH_TOKEN: TOKEN, SHARDS: '1' });
    for (const path of ['/health', '/ready', '/health?verbose=1', '/ready?']) {
      expect((await server.client.get(path)).status).toBe(200);
      expect((await server.client.call({ method: 'HEAD', path })).status).toBe(200);
    }
  });

  test.each(PAGES)('%s is open, and shows no data', async (path) => {
    await using server = await startTestServer({ AUTH_TOKEN: TOKEN, SHARDS: '1' });
    for (const headers of [{}, { authorization: 'Bearer wrong' }]) {
      const answer = await server.client.call({ path, headers });
      expect(answer.status).toBe(/.\/$/.test(path) ? 302 : 200);
      expect(answer.text).not.toContain(TOKEN);
      expect((await server.client.call({ method: 'HEAD', path, headers })).status).toBe(answer.status);
    }
  });

  test('the document says which routes want it, and the page so asks for it', async () => {
    await using server = await startTestServer({ AUTH_TOKEN: TOKEN, SHARDS: '1' });
    const { paths, components } = JSON.parse((await server.client.get('/openapi.json')).text) as {
      paths: Record<string, Record<string, { security: unknown }>>;
      components: { securitySchemes: unknown };
    };
    expect(components.securitySchemes).toStrictEqual({ token: { type: 'http', scheme: 'bearer' } });
    for (const [path, operations] of Object.entries(paths)) {
      for (const [method, { security }] of Object.entries(operations)) {
        const { status } = await server.client.call({ method: method.toUpperCase(), path });
        expect([path, method, security]).toStrictEqual([path, method, status === 401 ? [{ token: [] }] : []]);
      }
    }
  });

  test('is shown nowhere', async () => {
    const secret = 'a-secret-that-is-nowhere-else';
    const { child, port } = await ChildServer.listening({
      env: { SHARDS: '1', LOG_LEVEL: 'trace', AUTH_TOKEN: secret },
    });
    const client = new HttpClient(port);
    const authorization = `Bearer ${secret}`;
    const answers = [await client.get('/stats'), await client.get('/none', { authorization })];
    for (const path of ['/stats', '/openapi.json', '/health']) {
      const answer = await client.get(path, { authorization });
      expect(answer.status).toBe(200);
      answers.push(answer);
    }
    client.close();
    child.signal('SIGTERM');
    await child.exited;
    const said = answers.map(({ headers, text }) => JSON.stringify(headers) + text).join('');
    expect(said).toContain('(secret)');
    expect(said + child.output + child.errors).not.toContain(secret);
  });
});

describe('AUTH_TOKEN_FILE', () => {
  test('the token is read from it, without the line feed at its end', async () => {
    const path = file('token', 'from-a-file\n');
    await using server = await startTestServer({ AUTH_TOKEN_FILE: path, SHARDS: '1' });
    const { client } = server;
    expect((await client.get('/cache/none', { authorization: 'Bearer from-a-file' })).status).toBe(404);
    expectUnauthorized(await client.get('/cache/none', { authorization: `Bearer ${path}` }));
    expectUnauthorized(await client.get('/cache/none'));
  });
});

describe('TLS_CERT_FILE and TLS_KEY_FILE', () => {
  test('the real server speaks HTTPS, with a token beside it, and plain HTTP no more', async () => {
    const { child, port } = await ChildServer.listening({
      env: {
        SHARDS: '1',
        TLS_CERT_FILE: certificate.certFile,
        TLS_KEY_FILE: certificate.keyFile,
        AUTH_TOKEN_FILE: file('token', TOKEN),
      },
    });
    const client = new HttpClient(port, certificate.pem);
    const authorization = `Bearer ${TOKEN}`;
    const headers = { ...JSON_TYPE, authorization };
    expect((await client.get('/ready')).status).toBe(200);
    expectUnauthorized(await client.get('/cache/a'));
    expect((await client.call({ method: 'PUT', path: '/cache', headers, body: ENTRY })).status).toBe(201);
    const value = 'v'.repeat(2 ** 20);
    const body = JSON.stringify({ key: 'large', value });
    expect((await client.call({ method: 'PUT', path: '/cache', headers, body })).status).toBe(201);
    const { text } = await client.get('/cache/large', { authorization });
    expect((JSON.parse(text) as { value: string }).value === value).toBe(true);

    // A client that trusts another authority does not get as far as asking.
    const distrustful = new HttpClient(port, otherCertificate.pem);
    await expect(distrustful.get('/health')).rejects.toThrow(/certificate/);
    const plain = await RawSocket.open(port);
    plain.write('GET /health HTTP/1.1\r\nhost: test\r\n\r\n');
    expect(await plain.ended()).not.toContain('200 OK');
    expect((await client.get('/ready')).status).toBe(200);
    client.close();
    child.signal('SIGTERM');
    expect(await child.exited).toStrictEqual({ code: 0, signal: null });
    expect(child.errors).toBe('');
  });
});

describe('settings that are refused', () => {
  test('end the start: one line, exit code 78, nothing listens', async () => {
    const bad = file('bad.crt', 'not PEM');
    const child = new ChildServer({ env: { TLS_CERT_FILE: bad, TLS_KEY_FILE: certificate.keyFile } });
    expect(await child.exited).toStrictEqual({ code: 78, signal: null });
    expect(child.errors).toMatch(/^TLS_CERT_FILE, TLS_KEY_FILE: .* are not allowed; .*\n$/);
    expect(child.output).toBe('');
  });

  test.each([
    ['a certificate without its key', () => ({ TLS_CERT_FILE: certificate.certFile }), /^TLS_KEY_FILE: /],
    ['a key without its certificate', () => ({ TLS_KEY_FILE: certificate.keyFile }), /^TLS_CERT_FILE: /],
    [
      'a certificate that is not there',
      () => ({ TLS_CERT_FILE: join(folder, 'none.crt'), TLS_KEY_FILE: certificate.keyFile }),
      /^TLS_CERT_FILE: .*cannot be read/,
    ],
    [
      'a key that is a folder',
      () => ({ TLS_CERT_FILE: certificate.certFile, TLS_KEY_FILE: folder }),
      /^TLS_KEY_FILE: .*cannot be read/,
    ],
    [
      'a certificate that is none',
      () => ({ TLS_CERT_FILE: file('bad.crt', 'not PEM'), TLS_KEY_FILE: certificate.keyFile }),
      /^TLS_CERT_FILE/,
    ],
    [
      'a key that is none',
      () => ({ TLS_CERT_FILE: certificate.certFile, TLS_KEY_FILE: file('bad.key', '') }),
      /TLS_KEY_FILE/,
    ],
    [
      'a key of another certificate',
      () => ({ TLS_CERT_FILE: certificate.certFile, TLS_KEY_FILE: otherCertificate.keyFile }),
      /TLS_KEY_FILE/,
    ],
    [
      'a token file that is not there',
      () => ({ AUTH_TOKEN_FILE: join(folder, 'none') }),
      /^AUTH_TOKEN_FILE: /,
    ],
    [
      'a token file that is a directory',
      () => ({ AUTH_TOKEN_FILE: folder }),
      /^AUTH_TOKEN_FILE: .*it is a directory$/,
    ],
    [
      'a token file that never ends',
      () => ({ AUTH_TOKEN_FILE: '/dev/zero' }),
      /^AUTH_TOKEN_FILE: .*it is not a regular file$/,
    ],
    [
      'a token file that is far too large',
      () => ({ AUTH_TOKEN_FILE: file('large', 'x'.repeat(2 ** 20 + 1)) }),
      /^AUTH_TOKEN_FILE: .*it is larger than 1 MiB$/,
    ],
    ['a token file that is empty', () => ({ AUTH_TOKEN_FILE: file('empty', ' \n') }), /^AUTH_TOKEN_FILE: /],
    [
      'a token file with two lines',
      () => ({ AUTH_TOKEN_FILE: file('lines', 'one\ntwo\n') }),
      /^AUTH_TOKEN_FILE: /,
    ],
    [
      'a token beside a token file',
      () => ({ AUTH_TOKEN: 'first-token', AUTH_TOKEN_FILE: file('token', 'second-token') }),
      /^AUTH_TOKEN_FILE: /,
    ],
    ['a token with a space', () => ({ AUTH_TOKEN: 'first token' }), /^AUTH_TOKEN: /],
    ['a rate that is none', () => ({ RATE_LIMIT: '-1' }), /^RATE_LIMIT: /],
  ])('%s', (_what, env, line) => {
    const read = readSettings(env());
    const { faults } = read.faults
      ? read
      : (readAccessFiles(read.settings) as { faults?: readonly string[] });
    expect(faults).toStrictEqual([expect.stringMatching(line)]);
    expect(faults!.join()).not.toMatch(/first|second/);
  });
});

describe('RATE_LIMIT', () => {
  const MOST = 20;

  /** Sends the same request until one is refused. */
  async function untilLimited(client: HttpClient, call: Call): Promise<{ before: number; answer: Answer }> {
    for (let before = 0; before < MOST * 50; before++) {
      const answer = await client.call(call);
      if (answer.status === 429) return { before, answer };
    }
    throw new Error('was never refused');
  }

  test('off by default', async () => {
    await using server = await startTestServer({ SHARDS: '1' });
    const { client } = server;
    const answers = await Promise.all(Array.from({ length: 300 }, () => client.get('/cache/none')));
    expect(new Set(answers.map(({ status }) => status))).toStrictEqual(new Set([404]));
    expect(Object.keys(answers[0].headers).join(' ')).not.toContain('ratelimit');
  });

  test.each<readonly [what: string, call: Call]>([
    ['a key', { path: '/cache/none' }],
    ['the statistics', { path: '/stats' }],
    ['a page', { path: '/' }],
    ['the document', { path: '/openapi.json' }],
    ['an unknown path', { path: '/nothing' }],
    ['a wrong method', { method: 'POST', path: '/stats' }],
    ['a wrong token', { path: '/cache/none', headers: { authorization: 'Bearer guess' } }],
  ])('one address asks for %s too often: 429 with Retry-After', async (what, call) => {
    const env = { SHARDS: '1', RATE_LIMIT: String(MOST) };
    await using server = await startTestServer(
      what === 'a wrong token' ? { ...env, AUTH_TOKEN: TOKEN } : env,
    );
    const { client } = server;
    const { before, answer } = await untilLimited(client, call);
    expect(before).toBeGreaterThanOrEqual(MOST);
    expectError(answer, 429, 'CACHE_ERR_RATE_LIMITED', new RegExp(`${MOST} requests per second`));
    expect(answer.headers['retry-after']).toBe('1');
    // Probes and files of pages are answered however often they are asked.
    for (const path of ['/health?x=1', '/docs/swagger-ui.css', '/dashboard/page.js']) {
      for (let i = 0; i < 2 * MOST; i++) expect((await client.get(path)).status).toBe(200);
    }
    // The window is the same for all: one of them waits for its end.
    if (what !== 'a key') return;
    await expect.poll(async () => (await client.call(call)).status, { timeout: 5000 }).not.toBe(429);
  });

  test('every address has a limit of its own', async () => {
    await using server = await startTestServer({ SHARDS: '1', RATE_LIMIT: String(MOST) });
    for (const localAddress of ['127.0.0.1', '127.0.0.2']) {
      const { before } = await untilLimited(server.client, { path: '/cache/none', localAddress });
      expect(before).toBeGreaterThanOrEqual(MOST);
    }
  });
});

describe('errors and headers', () => {
  test('tell no version, no stack and no path', async () => {
    await using server = await startTestServer({ RATE_LIMIT: '1000000', SHARDS: '1' });
    const { client, port } = server;
    server.router.stats = () => Promise.reject(new Error(`a secret of ${import.meta.filename}`));
    const unexpected = await client.get('/stats');
    expectError(unexpected, 500, 'CACHE_ERR_INTERNAL', /^Unexpected error\.$/);
    const calls: readonly Call[] = [
      // `/metrics` is to tell the version, and has one of its format.
      ...GUARDED.filter(({ path }) => path !== '/metrics'),
      ...PAGES.map((path) => ({ path })),
      { path: '/health' },
      { path: '/ready' },
      { path: '/cache/%zz' },
      { path: '/docs/../../../../package.json' },
      { path: '/docs/%2e%2e%2f%2e%2e%2fpackage.json' },
      { path: '/docs/none' },
      { method: 'PUT', path: '/cache', headers: JSON_TYPE, body: '{' },
      { method: 'PUT', path: '/cache', headers: JSON_TYPE, body: '{"key":"a","value":5}' },
      { method: 'PUT', path: '/cache', headers: { 'content-type': '/' }, body: 'text' },
    ];
    const answers = [unexpected];
    for (const call of calls) answers.push(await client.call(call));
    for (const { status, headers, text } of answers) {
      for (const name of ['server', 'x-powered-by', 'via']) expect(headers[name]).toBeUndefined();
      expect(JSON.stringify(headers)).not.toMatch(/fastify|node|\d+\.\d+\.\d+/i);
      if (status >= 400) expectTellsNothing(text);
    }
    for (const text of [
      'HELLO\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      'GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
    ]) {
      const raw = await RawSocket.open(port);
      onTestFinished(() => raw.close());
      raw.write(text);
      const said = await raw.ended();
      expect(said).toMatch(/^HTTP\/1\.1 4/);
      expect(said).not.toMatch(/^(server|x-powered-by):/im);
      expectTellsNothing(said);
    }
  });
});

function expectTellsNothing(text: string): void {
  expect(text).not.toMatch(/node_modules|file:|\.[cm]?[jt]s\b|\n\s+at |secret|fastify/i);
  expect(text).not.toContain(process.cwd());
}
