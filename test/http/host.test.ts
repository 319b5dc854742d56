import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ListenError, listenError, resolveHost } from '../../src/listening.ts';
import { ChildServer } from '../support/child-server.ts';
import { getText } from '../support/http-text.ts';
import { IS_LONG } from '../support/long.ts';
import { RawSocket, untilRefused } from '../support/raw-socket.ts';
import { startTestServer } from '../support/server.ts';

const IS_ROOT = process.getuid?.() === 0;
if (!IS_ROOT)
  console.warn('not root: no test of a hosts file of its own, nor of a port that is not permitted');

/** HOST, and the addresses by which it is then reached, and those by which it is not. */
const HOSTS: readonly (readonly [host: string, reached: readonly string[], notReached: readonly string[]])[] =
  [
    ['127.0.0.1', ['127.0.0.1'], ['::1']],
    ['::1', ['::1'], ['127.0.0.1']],
    ['[::1]', ['::1'], ['127.0.0.1']],
    ['localhost', ['127.0.0.1'], ['::1']],
    ['0.0.0.0', ['127.0.0.1', '127.0.0.2'], ['::1']],
    ['::', ['127.0.0.1', '::1'], []],
  ];

const neverLookUp = (): Promise<never> => Promise.reject(new Error('was looked up'));

async function open(port: number, host: string, isStubborn = false): Promise<RawSocket> {
  const raw = await RawSocket.open(port, { host, isStubborn });
  onTestFinished(() => raw.close());
  return raw;
}

/** What every address has to do alike, since all of it is up to listeners of ours. */
async function expectFullService(port: number, host: string): Promise<void> {
  const bad = await open(port, host);
  bad.write('HELLO\r\n\r\n');
  expect(await bad.ended()).toMatch(/^HTTP\/1\.1 400 .*"CACHE_ERR_REQUEST_INVALID"/s);

  const unusual = await open(port, host);
  unusual.write('CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n');
  expect(await unusual.ended()).toMatch(/^HTTP\/1\.1 405 .*"CACHE_ERR_METHOD_NOT_ALLOWED"/s);

  const halfClosed = await open(port, host);
  halfClosed.socket.end(getText('none'));
  expect(await halfClosed.ended()).toMatch(/^HTTP\/1\.1 404 .*"CACHE_ERR_KEY_NOT_FOUND"/s);

  const body = '{"key":"a","value":"there"}';
  const put = `PUT /cache HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
  const pipelined = await open(port, host);
  pipelined.write(`${put}${body}${getText('a').repeat(500)}${getText('none')}`);
  await pipelined.until(/"CACHE_ERR_KEY_NOT_FOUND"/);
  expect(pipelined.text).toMatch(/^HTTP\/1\.1 201 /);
  expect(pipelined.text.match(/"there"/g)).toHaveLength(500);
  // A server that closes waits a while for connections that rest.
  for (const raw of [bad, unusual, halfClosed, pipelined]) raw.close();
}

/** The server takes no more connections than it may, and closes some of its own accord. */
async function expectConnectionLimit(port: number, host: string): Promise<void> {
  const raws = await RawSocket.openMany(port, 1600, { host });
  await expect.poll(() => raws.filter(({ isEnded }) => isEnded).length).toBeGreaterThan(200);
  for (const raw of raws) raw.close();
}

describe('HOST', () => {
  test.each(HOSTS)('%s is one address with all that belongs to it', async (host, reached, notReached) => {
    await using server = await startTestServer({ HOST: host, SHARDS: '1' });
    expect(server.app.addresses()).toHaveLength(1);
    for (const address of reached) await expectFullService(server.port, address);
    for (const address of notReached) await untilRefused(server.port, address);
  });

  test.each([
    ['0.0.0.0', 'http://0.0.0.0:', 'http://127.0.0.1:'],
    ['::', 'http://[::]:', 'http://[::1]:'],
    ['::1', 'http://[::1]:', 'http://[::1]:'],
    ['localhost', 'http://127.0.0.1:', 'http://127.0.0.1:'],
  ])('%s: the log says what is bound, and there is a URL that can be asked', async (host, bound, own) => {
    const messages: string[] = [];
    const sink = pino({ level: 'info' }, { write: (line) => messages.push(line) });
    await using server = await startTestServer({ HOST: host, SHARDS: '1' }, undefined, sink);
    expect(messages.map((line) => JSON.parse(line) as object)).toContainEqual(
      expect.objectContaining({
        address: `${bound}${server.port}`,
        msg: expect.stringContaining(`listening on ${bound}${server.port} with`) as string,
      }),
    );
    expect(server.address).toBe(`${own}${server.port}`);
    expect(server.isOnAllInterfaces).toBe(bound !== own);
    expect((await fetch(`${server.address}/health`)).status).toBe(200);
  });

  test.each(IS_LONG ? HOSTS : [HOSTS[3]])('%s bounds its connections', async (host, reached) => {
    const { port } = await ChildServer.listening({
      env: { HOST: host, SHARDS: '1', MEMORY_LIMIT: '256mb' },
    });
    for (const address of reached) await expectConnectionLimit(port, address);
  });

  test.skipIf(!IS_ROOT).each([
    ['two', ['127.0.0.1', '::1'], '127.0.0.1', ['::1']],
    ['two', ['::1', '127.0.0.1'], '127.0.0.1', ['::1']],
    ['localhost', ['127.0.0.1', '::1'], '127.0.0.1', ['::1']],
    ['two', ['::1'], '::1', []],
  ])(
    '%s with the addresses %j in the hosts file: %s alone, and the log says so',
    async (host, addresses, address, others) => {
      const folder = mkdtempSync(join(tmpdir(), 'kvc-hosts-'));
      onTestFinished(() => rmSync(folder, { recursive: true }));
      const file = join(folder, 'hosts');
      writeFileSync(file, addresses.map((one) => `${one} ${host}\n`).join(''));
      const script = 'mount --bind "$0" /etc/hosts && exec "$@"';
      const launcher = ['unshare', '-m', 'sh', '-c', script, file];
      const env = { HOST: host, SHARDS: '1', MEMORY_LIMIT: '256mb' };
      const { child, port } = await ChildServer.listening({ env, launcher });
      await expectFullService(port, address);
      if (IS_LONG) await expectConnectionLimit(port, address);
      for (const other of others) await untilRefused(port, other);
      const lines = child.output.split('\n').filter((line) => line.includes('"others"'));
      expect(lines).toHaveLength(others.length > 0 ? 1 : 0);
      if (others.length > 0) expect(JSON.parse(lines[0])).toMatchObject({ host, address, others });
    },
  );

  test('is looked up once, IPv4 first, each address once', async () => {
    const found = ['10.0.0.1', '10.0.0.1', '::1', '10.0.0.2'].map((address) => ({ address }));
    const resolved = await resolveHost('name', () => Promise.resolve(found));
    expect(resolved).toStrictEqual({ address: '10.0.0.1', others: ['::1', '10.0.0.2'] });
    for (const address of ['10.0.0.1', '::', 'fe80::1%eth0']) {
      expect(await resolveHost(address, neverLookUp)).toStrictEqual({ address, others: [] });
    }
  });
});

/** Wrong in a way of its own each: no such name, not an address of this machine, not an address. */
const WRONG_HOSTS = ['no.such.name.invalid', '192.0.2.1', '::1]'];
const MORE_WRONG_HOSTS = [
  'x86_64-conda-linux-gnu',
  '2001:db8::1',
  '[192.0.2.1]',
  'http://localhost',
  '127.0.0.1:80',
  'a name',
  'a'.repeat(300),
];
const BOUND_HOSTS = ['127.0.0.1', 'localhost', '0.0.0.0', '::'];

function expectHostFault(message: string, host: string): void {
  expect(message).toMatch(
    /^HOST: .* is not allowed \(E\w+\); allowed: an address or host name of this machine$/,
  );
  expect(message).toContain(JSON.stringify(host));
}

function expectPortFault(message: string, host: string, port: number): void {
  expect(message).toBe(
    `PORT: "${port}" is in use by another process (EADDRINUSE); allowed: a port that is free on ${host}`,
  );
}

/** @returns a port that another server has, as an address of `host`'s kind. */
async function takePort(host: string): Promise<number> {
  const other = createServer().listen({ port: 0, host: host.includes(':') ? '::' : '127.0.0.1' });
  await once(other, 'listening');
  onTestFinished(() => void other.close());
  return (other.address() as AddressInfo).port;
}

/** @returns why a server does not start in this process. */
async function startFault(env: Readonly<Record<string, string>>): Promise<ListenError> {
  const error = await startTestServer({ SHARDS: '1', ...env }).then(
    () => expect.fail('it has started'),
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(ListenError);
  return error as ListenError;
}

describe('a start that cannot listen', () => {
  test.each([...WRONG_HOSTS, ...MORE_WRONG_HOSTS])('HOST=%s is a fault that names it', async (HOST) => {
    const { message, isConfiguration } = await startFault({ HOST });
    expectHostFault(message, HOST);
    expect(isConfiguration).toBe(true);
  });

  test.each(IS_LONG ? [...WRONG_HOSTS, ...MORE_WRONG_HOSTS] : WRONG_HOSTS.slice(0, 1))(
    'HOST=%s: one line that names it, exit code 78',
    async (host) => {
      const child = new ChildServer({ env: { HOST: host, SHARDS: '1' } });
      expect(await child.exited).toStrictEqual({ code: 78, signal: null });
      expect(child.errors).toMatch(/^.*\n$/);
      expectHostFault(child.errors.trimEnd(), host);
      expect(child.output).not.toContain('listening');
    },
  );

  test.each(BOUND_HOSTS)('PORT in use on %s is a fault that names it', async (HOST) => {
    const port = await takePort(HOST);
    const { message, isConfiguration } = await startFault({ HOST, PORT: String(port) });
    expectPortFault(message, HOST, port);
    expect(isConfiguration).toBe(false);
  });

  test.each(IS_LONG ? BOUND_HOSTS : BOUND_HOSTS.slice(0, 1))(
    'PORT in use on %s: one line that names it, exit code 1',
    async (host) => {
      const port = await takePort(host);
      const child = new ChildServer({ env: { HOST: host, PORT: String(port), SHARDS: '1' } });
      expect(await child.exited).toStrictEqual({ code: 1, signal: null });
      expect(child.errors).toMatch(/^.*\n$/);
      expectPortFault(child.errors.trimEnd(), host, port);
    },
  );

  test.skipIf(!IS_ROOT)('PORT that is not permitted: one line that names it, exit code 78', async () => {
    const launcher = ['setpriv', '--reuid=65534', '--clear-groups'];
    const child = new ChildServer({ env: { PORT: '81', SHARDS: '1' }, launcher });
    expect(await child.exited).toStrictEqual({ code: 78, signal: null });
    expect(child.errors).toBe(
      'PORT: "81" is not permitted to this user (EACCES); allowed: 1024 to 65535, or 0\n',
    );
  });

  test.each([
    ['EAI_AGAIN', 'HOST', true],
    ['EINVAL', 'HOST', true],
    ['EAFNOSUPPORT', 'HOST', true],
    ['EPERM', 'PORT', true],
    ['EADDRINUSE', 'PORT', false],
  ])('%s is a fault of %s', async (code, name, isConfiguration) => {
    const system = Object.assign(new Error(code), { code });
    const error =
      code === 'EAI_AGAIN'
        ? await resolveHost('name', () => Promise.reject(system)).catch((caught: unknown) => caught)
        : listenError('name', 80, system);
    expect(error).toMatchObject({
      message: expect.stringMatching(`^${name}: .*\\(${code}\\)`),
      isConfiguration,
    });
    expect((error as ListenError).message).not.toContain('\n');
  });

  test("what is no setting's fault is left as it is", () => {
    const error = Object.assign(new Error('too many files'), { code: 'EMFILE' });
    expect(listenError('name', 80, error)).toBe(error);
  });
});
