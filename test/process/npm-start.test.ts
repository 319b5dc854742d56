import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { settingsHelp } from '../../src/config/settings.ts';
import { freePort } from '../support/free-port.ts';
import { HttpClient } from '../support/http-client.ts';
import { untilRefused } from '../support/raw-socket.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

interface Started {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  readonly port: number;
}

/** Starts the server as it is documented, in a process group of its own, which ends with the test. */
async function start(command: string, args: readonly string[]): Promise<Started> {
  const port = await freePort();
  const child = spawn(command, args, {
    cwd: ROOT,
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      HOST: '127.0.0.1',
      PORT: String(port),
      SHARDS: '1',
    },
    stdio: 'ignore',
    detached: true,
  });
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  onTestFinished(() => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // It has ended, as it should.
    }
  });
  const client = new HttpClient(port);
  const health = (): Promise<number> =>
    client.get('/health').then(
      ({ status }) => status,
      () => 0,
    );
  await expect.poll(health, { timeout: 30_000 }).toBe(200);
  client.close();
  return { child, exited, port };
}

describe('npm start', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s to npm ends the server, and npm with exit code 0',
    async (signal) => {
      const { child, exited, port } = await start('npm', ['start']);
      child.kill(signal);
      expect(await exited).toBe(0);
      await untilRefused(port);
    },
  );

  test('Ctrl-C in a terminal, which goes to all of them, ends it as well', async () => {
    const { child, exited, port } = await start('npm', ['start']);
    process.kill(-child.pid!, 'SIGINT');
    expect(await exited).toBe(0);
    await untilRefused(port);
  });

  test('passes flags on', async () => {
    const env = { PATH: process.env['PATH'], HOME: process.env['HOME'] };
    const help = await run('npm', ['start', '--silent', '--', '--help'], { cwd: ROOT, env });
    expect(help.stdout).toContain(settingsHelp());
    const version = await run('npm', ['start', '--silent', '--', '--version'], { cwd: ROOT, env });
    expect(version.stdout).toBe(`${packageJson.version}\n`);
  });
});

/** What the image runs. */
function imageCommand(): [string, ...string[]] {
  const dockerfile = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8');
  return JSON.parse(/^CMD (.*)$/m.exec(dockerfile)![1]) as [string, ...string[]];
}

test('node src/main.ts, as the image runs it: SIGTERM ends it', async () => {
  const [command, ...args] = imageCommand();
  const { child, exited, port } = await start(command, args);
  child.kill('SIGTERM');
  expect(await exited).toBe(0);
  await untilRefused(port);
});

test.for(['SIGTERM', 'SIGINT', 'SIGQUIT'] as const)(
  'as the first process of a container: %s ends it with exit code 0',
  async (signal, context) => {
    const own = ['--pid', '--fork', '--kill-child'];
    const refusal = await run('unshare', [...own, 'true']).then(
      () => undefined,
      (error: unknown) => String(error),
    );
    if (refusal !== undefined) {
      console.log(`no process namespace can be had here: ${refusal}`);
      context.skip();
    }
    const { child, exited, port } = await start('unshare', [...own, ...imageCommand()]);
    const { pid } = child;
    const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
    expect(readFileSync(`/proc/${first}/status`, 'utf8')).toMatch(/^NSpid:\s+\d+\s+1$/m);
    process.kill(Number(first), signal);
    expect(await exited).toBe(0);
    await untilRefused(port);
  },
);
