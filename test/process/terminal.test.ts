import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { ChildServer, REPORTING } from '../support/child-server.ts';
import { makeFolder } from '../support/folder.ts';
import { freePort } from '../support/free-port.ts';
import { HttpClient } from '../support/http-client.ts';
import { HAS_TERMINALS, Terminal } from '../support/terminal.ts';

const CTRL_C = '\x03';
const CTRL_S = '\x13';
const CTRL_BACKSLASH = '\x1c';
const LISTENING = /INFO.*: .*listening on (http:\/\/127\.0\.0\.1:(\d+)) with 1 shard/;
const SHOWN = /the least recently used go/;

/** A server whose process id the test knows: it is the command itself. */
async function startInTerminal(
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly terminal: Terminal; readonly pid: number }> {
  const pidFile = join(makeFolder(), 'pid');
  const terminal = new Terminal(`echo $$ >${pidFile}; exec node src/main.ts`, env);
  await expect.poll(() => terminal.screen).toMatch(SHOWN);
  return { terminal, pid: Number(readFileSync(pidFile, 'utf8')) };
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe.skipIf(!HAS_TERMINALS)('in a terminal', () => {
  test('npm start shows where it is and what it goes by, and log lines for people; Ctrl-C ends it', async () => {
    const terminal = new Terminal('exec npm start', { MEMORY_LIMIT: '512Mi' });
    await expect.poll(() => terminal.screen).toMatch(SHOWN);
    const [, address, port] = LISTENING.exec(terminal.screen)!;
    const lines = terminal.lines.map((line) => line.trim());
    expect(lines).toContain(`key-value-cache ${packageJson.version}`);
    expect(lines).toContain(`${address}/`);
    for (const path of ['/dashboard', '/docs', '/stats']) {
      expect(lines.some((line) => line.startsWith(`${address}${path} `))).toBe(true);
    }
    expect(lines).toContain('shards  1');
    expect(lines.find((line) => line.startsWith('memory '))).toMatch(
      /^memory {2}512 MiB, as MEMORY_LIMIT says; over 70 % /,
    );
    const client = new HttpClient(Number(port));
    expect((await client.get('/health')).status).toBe(200);
    client.close();
    terminal.type(CTRL_C);
    expect(await terminal.ended).toBe(0);
    expect(terminal.screen).toMatch(/SIGINT: stopping[^]*stopped after \d+ ms/);
    expect(terminal.screen).not.toContain('{');
    expect(terminal.screen).toContain('\x1b[');
  });

  test('NO_COLOR is honoured', async () => {
    const { terminal } = await startInTerminal({ NO_COLOR: '1' });
    terminal.type(CTRL_BACKSLASH);
    expect(await terminal.ended).toBe(0);
    expect(terminal.screen).toMatch(/^\[\d\d:\d\d:\d\d\] INFO: listening on/);
    expect(terminal.screen).toContain('SIGQUIT: stopping');
    expect(terminal.screen).not.toContain('\x1b');
  });

  test('LOG_LEVEL=silent shows nothing', async () => {
    const port = await freePort();
    const terminal = new Terminal('exec node src/main.ts', { LOG_LEVEL: 'silent', PORT: String(port) });
    const client = new HttpClient(port);
    const health = (): Promise<number> =>
      client.get('/health').then(
        ({ status }) => status,
        () => 0,
      );
    await expect.poll(health).toBe(200);
    client.close();
    terminal.type(CTRL_C);
    expect(await terminal.ended).toBe(0);
    expect(terminal.screen.replaceAll(/\^C|\s/g, '')).toBe('');
  });

  test('one that is stopped holds nothing up', async () => {
    const { terminal, pid } = await startInTerminal();
    const port = Number(LISTENING.exec(terminal.screen)![2]);
    terminal.type(CTRL_S);
    const client = new HttpClient(port);
    await expect.poll(async () => (await client.get('/health')).status).toBe(200);
    client.close();
    process.kill(pid, 'SIGTERM');
    expect(await terminal.ended).toBe(0);
    expect(terminal.screen).not.toContain('stopped after');
  });

  test('its window is closed: the server ends, with files that SIGHUP would read again, too', async () => {
    const tokenFile = join(makeFolder(), 'token');
    writeFileSync(tokenFile, 'token');
    const { terminal, pid } = await startInTerminal({ AUTH_TOKEN_FILE: tokenFile });
    expect(terminal.screen).toContain('/dashboard ');
    expect(terminal.screen).not.toContain('/stats');
    terminal.close();
    await expect.poll(() => isRunning(pid)).toBe(false);
  });
});

test('without a terminal nothing of what makes lines for people is loaded', async () => {
  const { child } = await ChildServer.listening({ env: REPORTING });
  const { modules } = await child.report();
  expect(modules.some((name) => name.includes('/node_modules/pino/'))).toBe(true);
  expect(modules.filter((name) => /pino-pretty|colorette/.test(name))).toStrictEqual([]);
  expect(child.output).not.toContain('key-value-cache');
});
