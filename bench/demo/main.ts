/** Shows a newcomer what the product does: a server with little memory, traffic that is more than it can hold. */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { readSettings } from '../../src/config/settings.ts';
import { type Screen, figures, memoryText, openScreen } from './screen.ts';
import { DemoServer, type Stats, isFree } from './server.ts';
import { Traffic } from './traffic.ts';

const DEFAULT_SECONDS = 60;
const LOOK_INTERVAL_MS = 500;
const HELP = `A server with a memory limit of 512 MiB, and traffic that is more than it can hold: see it shed.

  npm run demo -- [--seconds N]

  --seconds   how long the traffic lasts (default ${DEFAULT_SECONDS}); Ctrl-C ends it at any time

The server listens on PORT, 7171 by default, or on a free port if that one is taken.
`;

function readSeconds(): number {
  const { values } = parseArgs({ options: { seconds: { type: 'string' }, help: { type: 'boolean' } } });
  if (values.help) {
    process.stdout.write(HELP);
    process.exit(0);
  }
  const seconds = Number(values.seconds ?? DEFAULT_SECONDS);
  if (!Number.isInteger(seconds) || seconds < 1) throw new Error('--seconds: a whole number from 1 on');
  return seconds;
}

/** Where the server is to listen, as the server itself reads it. */
function readPort(): number {
  const { settings, faults } = readSettings({ PORT: process.env['PORT'] });
  if (faults) throw new Error(faults.join('\n'));
  return settings.PORT;
}

/** What the demo has shown at its end. */
interface Seen {
  readonly stats: Stats;
  readonly mostBytes: number;
  readonly seconds: number;
}

/** One run: a server, traffic, and a screen that shows both. */
class Demo {
  private readonly seconds: number;
  private readonly server: DemoServer;
  private screen: Screen | undefined;
  private startedMs = 0;
  private isStopped = false;

  constructor(port: number, seconds: number) {
    this.seconds = seconds;
    // Before there is a server that a signal could leave behind.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, this.stop);
    // Whoever read the output is gone.
    process.stdout.on('error', this.stop);
    this.server = new DemoServer(port, (message) => this.screen?.say(message));
  }

  /** Ends the run before its time. */
  readonly stop = (): void => {
    this.isStopped = true;
    // Before it listens there is nothing else to end; `run` says how it went.
    if (this.screen === undefined) this.server.stop().catch(() => undefined);
  };

  async run(): Promise<void> {
    try {
      const address = await this.server.address;
      console.log(
        `Open ${address.replace('127.0.0.1', 'localhost')}/dashboard in a browser. Ctrl-C ends the demo.\n`,
      );
      this.screen = openScreen(this.seconds);
      this.startedMs = performance.now();
      const traffic = new Traffic(address, this.isOver);
      const [seen] = await Promise.all([this.watch(traffic), traffic.run()]);
      this.screen.end();
      console.log(summary(seen));
    } catch (error) {
      this.screen?.end();
      if (!this.isStopped) throw error;
    } finally {
      await this.server.stop();
    }
  }

  private async watch(traffic: Traffic): Promise<Seen> {
    let mostBytes = 0;
    for (;;) {
      const stats = await this.server.stats();
      const { usedBytes, orders } = stats.memory;
      mostBytes = Math.max(mostBytes, usedBytes);
      traffic.isFull ||= orders > 0;
      const seconds = this.elapsedSeconds();
      this.screen?.show(seconds, stats);
      if (this.isOver()) return { stats, mostBytes, seconds };
      await delay(LOOK_INTERVAL_MS);
    }
  }

  private elapsedSeconds(): number {
    return Math.min(this.seconds, Math.floor((performance.now() - this.startedMs) / 1000));
  }

  private readonly isOver = (): boolean => this.isStopped || this.elapsedSeconds() >= this.seconds;
}

function summary({ stats, mostBytes, seconds }: Seen): string {
  return [
    '',
    `After ${seconds} s: ${figures(stats)}.`,
    `At most ${memoryText(mostBytes, stats.memory.limitBytes)} were in use.`,
    stats.memory.orders > 0
      ? 'Each shed order took the least recently used entries and gave their memory back to the system.'
      : 'No shed order was needed yet: let it run for longer.',
  ].join('\n');
}

try {
  const seconds = readSeconds();
  const wanted = readPort();
  const port = (await isFree(wanted)) ? wanted : 0;
  if (port !== wanted) console.log(`Port ${wanted} is taken: the demo takes a free one.`);
  await new Demo(port, seconds).run();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
