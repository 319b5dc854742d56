import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { COMPILE_CACHE } from '../../src/process/launch.ts';

const HOST = '127.0.0.1';
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const END_WITH_PARENT = new URL('end-with-parent.mjs', import.meta.url).href;
/** Longer than the server takes to stop. */
const STOP_DEADLINE_MS = 6_000;

/** What the demo reads of `/stats`. */
export interface Stats {
  readonly totals: { readonly puts: number; readonly hits: number; readonly misses: number };
  readonly memory: { readonly usedBytes: number; readonly limitBytes: number; readonly orders: number };
}

/** A line of the server's log. */
interface LogLine {
  readonly msg: string;
  readonly address?: string;
  readonly order?: object;
  readonly pressure?: string;
}

/** Whether nobody listens on the port, at either of the addresses that a browser tries for `localhost`. */
export async function isFree(port: number): Promise<boolean> {
  const faults = await Promise.all([HOST, '::1'].map((host) => faultOfListening(port, host)));
  return !faults.includes('EADDRINUSE');
}

async function faultOfListening(port: number, host: string): Promise<string | undefined> {
  const server = createServer().listen(port, host);
  try {
    await once(server, 'listening');
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  } finally {
    server.close();
  }
}

/** The product as a process of its own, with a small memory limit and none of this process's settings. */
export class DemoServer {
  /** Where it listens; rejected if it ends before that. */
  readonly address: Promise<string>;
  private readonly child: ChildProcess;
  private readonly exited: Promise<[code: number | null, signal: NodeJS.Signals | null]>;
  private errors = '';

  /** @param onEvent told what the log says of shed orders and memory. */
  constructor(port: number, onEvent: (message: string) => void) {
    this.child = spawn(process.execPath, [`--import=${END_WITH_PARENT}`, 'src/main.ts'], {
      cwd: ROOT,
      env: {
        PATH: process.env['PATH'],
        // Named here, it spares the first of the server's two processes the types.
        NODE_COMPILE_CACHE: COMPILE_CACHE,
        HOST,
        PORT: `${port}`,
        SHARDS: '2',
        MEMORY_LIMIT: '512mb',
      },
      stdio: 'pipe',
      // A group of its own: Ctrl-C reaches the demo, which ends its traffic before it ends the server.
      detached: true,
    });
    this.exited = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => resolve([code, signal]));
    });
    this.child.stderr!.on('data', (chunk: Buffer) => (this.errors += chunk.toString()));
    this.address = new Promise((resolve, reject) => {
      createInterface({ input: this.child.stdout! }).on('line', (line) => {
        // V8 has words of its own when it fails.
        if (!line.startsWith('{')) return;
        const { msg, address, order, pressure } = JSON.parse(line) as LogLine;
        if (address !== undefined) resolve(address);
        if (order !== undefined || pressure !== undefined) onEvent(msg);
      });
      this.exited.then(() => reject(new Error('the server does not listen')), reject);
    });
  }

  async stats(): Promise<Stats> {
    const response = await fetch(`${await this.address}/stats`);
    return (await response.json()) as Stats;
  }

  /** @throws Error if it has ended before, or ends badly, with its last words. */
  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_DEADLINE_MS);
    const [code, signal] = await this.exited;
    clearTimeout(timer);
    // While it starts it has no handler of its own for the signal.
    if (code === 0 || signal === 'SIGTERM') return;
    throw new Error(`the server ended with ${code ?? signal}: ${this.errors}`);
  }
}
