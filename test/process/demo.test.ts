import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { zipf } from '../../bench/demo/zipf.ts';
import { DEMO_ADDRESS, DemoProcess } from '../support/demo-process.ts';
import { HttpClient } from '../support/http-client.ts';
import { untilRefused } from '../support/raw-socket.ts';
import { HAS_TERMINALS, Terminal } from '../support/terminal.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CTRL_C = '\x03';
/** What `localhost` may be. */
const LOOPBACKS = (networkInterfaces()['lo'] ?? [{ address: '127.0.0.1' }]).map(({ address }) => address);
const HAS_PROC = existsSync('/proc/self/task');

async function shedOrders(port: number): Promise<number> {
  const client = new HttpClient(port);
  const { totals } = await client.stats();
  client.close();
  return totals.shedOrders;
}

describe('npm run demo', () => {
  test('is the command that the tests start', () => {
    const { scripts } = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8')) as {
      scripts: Record<string, string>;
    };
    expect(scripts['demo']).toBe('exec node bench/demo/main.ts');
  });

  test('ends by itself; where no terminal is, it writes plain lines', async () => {
    const demo = new DemoProcess(['--seconds', '1']);
    const port = await demo.port();
    expect(await demo.ended).toBe(0);
    expect(demo.errors).toBe('');
    expect(demo.output).toMatch(/^Open http:[^]*^0\/1 s \| 0 shed orders \| [^]*^After 1 s: /m);
    expect(demo.output).not.toMatch(/[^\n -~]/);
    await untilRefused(port);
  });

  test.each(LOOPBACKS)('takes a free port, and says so, where its own is taken at %s', async (host) => {
    const other = createServer().listen(0, host);
    await once(other, 'listening');
    onTestFinished(() => void other.close());
    const { port: taken } = other.address() as AddressInfo;
    const demo = new DemoProcess([], { PORT: `${taken}` });
    expect(await demo.port()).not.toBe(taken);
    expect(demo.output).toContain(`Port ${taken} is taken: `);
    demo.child.kill('SIGINT');
    expect(await demo.ended).toBe(0);
  });

  test('ends when its terminal hangs up', async () => {
    const demo = new DemoProcess([]);
    const port = await demo.port();
    demo.child.kill('SIGHUP');
    expect(await demo.ended).toBe(0);
    expect(demo.errors).toBe('');
    await untilRefused(port);
  });

  test('leaves no server behind when it is killed', async () => {
    const demo = new DemoProcess([]);
    const port = await demo.port();
    expect(await shedOrders(port)).toBe(0);
    demo.child.kill('SIGKILL');
    await demo.ended;
    await untilRefused(port);
  });

  test.skipIf(!HAS_PROC)('names what is wrong when its server dies, with exit code 1', async () => {
    const demo = new DemoProcess([]);
    await demo.port();
    process.kill(await demo.server(), 'SIGKILL');
    expect(await demo.ended).toBe(1);
    expect(demo.errors).toMatch(/^the server ended/);
  });

  test.skipIf(!HAS_PROC)('ends at once while its server starts', async () => {
    const demo = new DemoProcess([]);
    const server = await demo.server();
    demo.child.kill('SIGINT');
    expect(await demo.ended).toBe(0);
    expect(demo.errors).toBe('');
    expect(() => process.kill(server, 0)).toThrow('ESRCH');
  });

  test.each(['--seconds=0', '--seconds=x', '--port=1'])('%s: exit code 1', async (arg) => {
    const demo = new DemoProcess([arg]);
    expect(await demo.ended).toBe(1);
    expect([demo.output, demo.errors]).toStrictEqual(['', expect.stringContaining(arg.split('=')[0])]);
  });

  test.each(['abc', '65536', '-1', '1.5'])('PORT=%s: one line that says what is allowed', async (port) => {
    const demo = new DemoProcess([], { PORT: port });
    expect(await demo.ended).toBe(1);
    const line = `PORT: "${port}" is not allowed; allowed: 0 to 65535\n`;
    expect([demo.output, demo.errors]).toStrictEqual(['', line]);
  });

  test('--help names its flags', async () => {
    const demo = new DemoProcess(['--help']);
    expect(await demo.ended).toBe(0);
    expect(demo.output).toContain('--seconds');
  });
});

describe.skipIf(!HAS_TERMINALS)('npm run demo in a terminal', () => {
  test('has a progress bar; Ctrl-C ends npm and all with exit code 0', async () => {
    const terminal = new Terminal('exec npm run --silent demo', { PORT: '0' });
    await expect.poll(() => terminal.screen).toMatch(/[█░].* \d+\/60 s \| .* keys put/);
    const port = Number(DEMO_ADDRESS.exec(terminal.screen)![1]);
    terminal.type(CTRL_C);
    expect(await terminal.ended).toBe(0);
    expect(terminal.screen).toMatch(/After \d+ s: /);
    // The cursor, which the bar hides, is shown again.
    expect(terminal.screen.lastIndexOf('\x1b[?25h')).toBeGreaterThan(
      terminal.screen.lastIndexOf('\x1b[?25l'),
    );
    await untilRefused(port);
  });
});

describe.skipIf(!HAS_TERMINALS || !HAS_PROC)('npm run demo in a window that is closed', () => {
  test('ends, and its server with it', async () => {
    const terminal = new Terminal('echo "pid $$"; exec node_modules/.bin/node bench/demo/main.ts', {
      PORT: '0',
    });
    await expect.poll(() => terminal.screen).toMatch(/ \d+\/60 s \| .* keys put/);
    const pid = Number(/pid (\d+)/.exec(terminal.screen)![1]);
    const port = Number(DEMO_ADDRESS.exec(terminal.screen)![1]);
    terminal.close();
    await untilRefused(port);
    await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 10_000 }).toBe(false);
  });
});

test('Zipf: the first key is asked for n times as often as the nth', () => {
  const [pick, draws] = [zipf(100), 1_000_000];
  const counts = Array.from({ length: 100 }, () => 0);
  for (let draw = 0; draw < draws; draw++) counts[pick(draw / draws)]++;
  expect(counts.reduce((sum, count) => sum + count)).toBe(draws);
  for (const rank of [2, 10, 100]) expect(counts[0] / counts[rank - 1]).toBeCloseTo(rank, 1);
});
