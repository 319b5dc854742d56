import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ChildServer, type Exit } from '../support/child-server.ts';
import { Fifo } from '../support/fifo.ts';
import { makeFolder } from '../support/folder.ts';
import { freePort } from '../support/free-port.ts';
import { HttpClient } from '../support/http-client.ts';
import { IS_LONG } from '../support/long.ts';

const CLEAN: Exit = { code: 0, signal: null };
const EXIT_DEADLINE_MS = 5000;
const MIB = 2 ** 20;
const FULL_DISK = 'full disk';

function unreadPipe(): string {
  const fifo = new Fifo();
  fifo.fill();
  return fifo.path;
}

/** A server that cannot say where it listens. With each SIGHUP it logs a line of about 4 KB. */
class MuteServer {
  readonly child: ChildServer;
  readonly client: HttpClient;

  private constructor(child: ChildServer, client: HttpClient) {
    this.child = child;
    this.client = client;
  }

  static async start(redirect: string, more: Readonly<Record<string, string>> = {}): Promise<MuteServer> {
    const folder = join(makeFolder(), ...Array.from({ length: 4 }, () => 'x'.repeat(220)));
    mkdirSync(folder, { recursive: true });
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, 'token');
    const port = await freePort();
    const env = { PORT: String(port), SHARDS: '1', AUTH_TOKEN_FILE: tokenFile, ...more };
    const server = new MuteServer(new ChildServer({ redirect, env }), new HttpClient(port));
    onTestFinished(() => server.client.close());
    await expect.poll(() => server.isHealthy(), { timeout: 30_000 }).toBe(true);
    rmSync(tokenFile);
    return server;
  }

  async isHealthy(): Promise<boolean> {
    const answer = await this.client.get('/health').catch(() => undefined);
    return answer?.status === 200;
  }

  async log(lines: number): Promise<void> {
    for (let line = 0; line < lines; line++) {
      this.child.signal('SIGHUP');
      // By then the signal has been handled: the next one is not taken for the same.
      expect(await this.isHealthy()).toBe(true);
    }
  }

  async stop(): Promise<void> {
    const signalledMs = performance.now();
    this.client.close();
    this.child.signal('SIGTERM');
    expect(await this.child.exited).toStrictEqual(CLEAN);
    expect(performance.now() - signalledMs).toBeLessThan(EXIT_DEADLINE_MS);
  }
}

/** More than a pipe and what may wait hold together. */
const MANY_LINES = 150;

type Broken = readonly [what: string, redirect: () => string];

const BROKEN: readonly Broken[] = [
  ['both outputs on a full disk', () => '>/dev/full 2>&1'],
  ['both outputs closed', () => '>&- 2>&-'],
  ['both outputs a pipe that nobody reads', () => `>${unreadPipe()} 2>&1`],
];
/** Each is half of one above. */
const BROKEN_IN_PART: readonly Broken[] = [
  ['standard output on a full disk', () => '>/dev/full'],
  ['standard error closed', () => '>/dev/full 2>&-'],
];

describe('serves on, and ends with exit code 0 in time:', () => {
  test.each(IS_LONG ? [...BROKEN, ...BROKEN_IN_PART] : BROKEN)(
    '%s',
    { timeout: 60_000 },
    async (_what, redirect) => {
      const server = await MuteServer.start(redirect());
      await server.log(MANY_LINES);
      expect(server.child.residentBytes().now).toBeLessThan(200 * MIB);
      await server.stop();
    },
  );

  test('both outputs a pipe whose reader has gone', { timeout: 60_000 }, async () => {
    const fifo = new Fifo();
    const server = await MuteServer.start(`>${fifo.path} 2>&1`);
    fifo.stopReading();
    await server.log(MANY_LINES);
    await server.stop();
  });
});

test('sockets whose reader has gone are no different', { timeout: 60_000 }, async () => {
  // Node gives a child sockets for pipes.
  const server = await MuteServer.start('');
  server.child.stopReading();
  await server.log(MANY_LINES);
  await server.stop();
});

const MISBEHAVING = { NODE_OPTIONS: `--import=${new URL('../support/misbehave.mjs', import.meta.url).href}` };

test("Node's own warnings, many of them, wait for no reader", { timeout: 60_000 }, async () => {
  const server = await MuteServer.start(`2>${unreadPipe()}`, MISBEHAVING);
  for (let round = 0; round < 3; round++) {
    server.child.signal('SIGCONT');
    expect(await server.isHealthy()).toBe(true);
  }
  await server.stop();
});

describe('an error that nobody foresaw', () => {
  test('is logged as the last line, on standard error too, and ends the process with exit code 1', async () => {
    const { child } = await ChildServer.listening({ env: MISBEHAVING });
    child.signal('SIGWINCH');
    expect(await child.exited).toStrictEqual({ code: 1, signal: null });
    const last = JSON.parse(child.output.trim().split('\n').at(-1)!) as object;
    expect(last).toMatchObject({
      level: 60,
      msg: 'the process fails',
      err: { message: 'nobody foresaw this' },
    });
    expect(child.errors).toContain('Error: nobody foresaw this');
  });

  test('ends the process as well where nobody reads of it', { timeout: 60_000 }, async () => {
    const server = await MuteServer.start(`>${unreadPipe()} 2>${unreadPipe()}`, MISBEHAVING);
    server.child.signal('SIGWINCH');
    expect(await server.child.exited).toStrictEqual({ code: 1, signal: null });
  });
});

/** Every line was written or counted, in order, with one line that says how many were not. */
function expectCountedLoss(text: string, logged: number, why: RegExp): void {
  const lines = text.trim().split('\n');
  const messages = lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
  const losses = messages.flatMap((message) => /^(\d+) log lines? w\w+ lost here: .*$/.exec(message) ?? []);
  expect(losses).toHaveLength(2);
  expect(losses[0]).toMatch(why);
  const told = messages.filter((message) => message.startsWith('SIGHUP:')).length;
  expect(told + Number(losses[1])).toBe(logged);
  expect(messages.slice(-3)).toStrictEqual([
    expect.stringMatching(/^SIGHUP: .* stays in force/),
    expect.stringMatching(/^SIGTERM: stopping/),
    expect.stringMatching(/^stopped after/),
  ]);
}

describe('an output that works again', () => {
  test('a pipe that is read late', { timeout: 60_000 }, async () => {
    const fifo = new Fifo();
    const server = await MuteServer.start(`>${fifo.path}`);
    await server.log(MANY_LINES);
    let text = '';
    await expect.poll(() => (text += fifo.read())).toMatch(/lost here/);
    await server.log(1);
    await server.stop();
    text += fifo.read();
    expectCountedLoss(text, MANY_LINES + 1, /nobody read them/);
  });

  test('a disk that has space again', { timeout: 60_000 }, async (context) => {
    const folder = makeFolder();
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], { stdio: 'pipe' });
    } catch (error) {
      console.log(`no small disk can be had here: ${String(error)}`);
      context.skip();
    }
    onTestFinished(() => void execFileSync('umount', ['-l', folder]));
    const filler = join(folder, 'filler');
    const log = join(folder, 'log');
    const server = await MuteServer.start(`>${log}`);
    writeFileSync(filler, 'x'.repeat(40_000));
    await server.log(MANY_LINES);
    rmSync(filler);
    execFileSync('mount', ['-o', 'remount,size=2m', folder]);
    await expect.poll(() => readFileSync(log, 'latin1')).toMatch(/lost here/);
    await server.log(1);
    await server.stop();
    expectCountedLoss(readFileSync(log, 'latin1'), MANY_LINES + 1, /the disk was full/);
  });
});

describe('a command whose outputs fail ends with the same exit code as ever:', () => {
  test.each([
    [FULL_DISK, () => '>/dev/full 2>&1'],
    ['closed', () => '>&- 2>&-'],
    ['pipe that nobody reads', () => `>${unreadPipe()} 2>&1`],
    // Each on its own: one that is made non-blocking makes the other so where they are the same.
    ['standard output a pipe that nobody reads', () => `>${unreadPipe()}`],
    ['standard error a pipe that nobody reads', () => `2>${unreadPipe()}`],
  ])('%s', { timeout: 30_000 }, async (what, redirect) => {
    const output = redirect();
    const run = (options: { env?: Record<string, string>; args?: string[] }): Promise<Exit> =>
      new ChildServer({ redirect: output, ...options }).exited;
    const exits = [run({ args: ['--help'] }), run({ args: ['--wrong'] })];
    // Both write what the wrong flag does: where and how, that is tried once.
    if (IS_LONG || what === FULL_DISK) {
      exits.push(run({ env: { PORT: 'none' } }), run({ env: { MEMORY_LIMIT: '64mb' } }));
    }
    const codes = (await Promise.all(exits)).map(({ code }) => code);
    expect(codes).toStrictEqual([0, 78, 78, 78].slice(0, exits.length));
  });
});
