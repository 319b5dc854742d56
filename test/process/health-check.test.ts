import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { freePort } from '../support/free-port.ts';
import { startTestServer } from '../support/server.ts';

function pathOf(program: string): string {
  return spawnSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).stdout.trim();
}

/** Alpine's `wget` and `sh` are this program's. */
const BUSYBOX = pathOf('busybox');
if (BUSYBOX === '') console.log('there is no busybox: the health check of the image is not tried');

const folder = mkdtempSync(join(tmpdir(), 'key-value-cache-'));
const certificate = BUSYBOX === '' ? undefined : makeCertificate(folder, 'server');
if (BUSYBOX !== '') {
  for (const applet of ['sh', 'wget']) symlinkSync(BUSYBOX, join(folder, applet));
  // Its helper for TLS, as Alpine has one with `ssl_client`.
  symlinkSync(pathOf('openssl'), join(folder, 'openssl'));
}

afterAll(() => rmSync(folder, { recursive: true }));

/** The health check as the image has it: all that follows its options. */
function healthCheck(): string {
  const dockerfile = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8');
  return /^HEALTHCHECK [^]*?\\\n\s*CMD ((?:.*\\\n)*.*)$/m.exec(dockerfile)![1].replaceAll('\\\n', '');
}

type Environment = Readonly<Record<string, string>>;

/** @returns the exit code of the health check, as an image would run it: 0 is healthy. */
async function checkHealth(env: Environment): Promise<number | null> {
  const child = spawn(join(folder, 'sh'), ['-c', healthCheck()], { env: { PATH: folder, ...env } });
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  return code;
}

/** @returns the environment that a container with such a server has. */
async function startServer(env: Environment): Promise<Environment> {
  // Whether the server takes brackets as well is another test's.
  const address = (env['HOST'] ?? '').replaceAll(/[[\]]/g, '');
  const server = await startTestServer({ ...env, HOST: address, SHARDS: '1' });
  onTestFinished(() => server[Symbol.asyncDispose]());
  return { ...env, PORT: String(server.port) };
}

const HAS_IPV6 = networkInterfaces()['lo']?.some(({ address }) => address === '::1') === true;
if (!HAS_IPV6) console.log('there is no ::1: the health check of the image is tried with IPv4 alone');

const HOSTS = [
  '0.0.0.0',
  '127.0.0.1',
  '127.0.0.2',
  'localhost',
  ...(HAS_IPV6 ? ['::', '::1', '[::1]', '[::]'] : []),
  // The default, as an image has it: nothing is set.
  '',
];

describe.skipIf(BUSYBOX === '')('the health check of the image', () => {
  describe.each(HOSTS)('with HOST=%s', (host) => {
    test('finds the server, and finds it gone', { timeout: 60_000 }, async () => {
      const env = await startServer({ HOST: host });
      expect(await checkHealth(env)).toBe(0);
      expect(await checkHealth({ ...env, PORT: String(await freePort()) })).not.toBe(0);
    });

    test('finds it over TLS', { timeout: 60_000 }, async () => {
      const { certFile, keyFile } = certificate!;
      const env = await startServer({ HOST: host, TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile });
      expect(await checkHealth(env)).toBe(0);
    });
  });

  test('asks nobody else: a proxy in the environment, which Docker may put there, is not used', async () => {
    const env = await startServer({ HOST: '0.0.0.0' });
    const proxy = `http://127.0.0.1:${await freePort()}`;
    expect(await checkHealth({ ...env, http_proxy: proxy, https_proxy: proxy })).toBe(0);
  });

  test('an address of another interface than loopback', { timeout: 60_000 }, async (context) => {
    const why = makeAddress('192.0.2.2');
    if (why !== undefined) {
      console.log(`192.0.2.2 cannot be had here: ${why}`);
      context.skip();
    }
    const env = await startServer({ HOST: '192.0.2.2' });
    expect(await checkHealth(env)).toBe(0);
    expect(await checkHealth({ ...env, HOST: '127.0.0.1' })).not.toBe(0);
  });
});

/** Gives the machine an address for the time of a test. @returns why it cannot be had. */
function makeAddress(address: string): string | undefined {
  const ip = (verb: string): SpawnSyncReturns<string> =>
    spawnSync('ip', ['address', verb, `${address}/32`, 'dev', 'lo'], { encoding: 'utf8' });
  const { status, stderr, error } = ip('add');
  if (status === 0) onTestFinished(() => void ip('del'));
  return status === 0 ? undefined : String(error ?? stderr);
}
