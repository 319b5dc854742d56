import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import { COMPILE_CACHE } from '../../src/process/launch.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Environment of a server that is to be asked for a `report`. */
export const REPORTING = {
  NODE_OPTIONS: `--import=${fileURLToPath(new URL('report.mjs', import.meta.url))}`,
};

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  /** The folder that has `src/main.ts`. */
  readonly root?: string;
  /** What runs instead of Node with `src/main.ts`. */
  readonly program?: readonly string[];
  /** Where its outputs go instead, as a shell writes it: `>/dev/full 2>&1`. */
  readonly redirect?: string;
  /** A command that becomes the server: the server's own is appended to it. */
  readonly launcher?: readonly string[];
  /** Several tests use it: the hook that starts it ends it with `end`. */
  readonly isShared?: boolean;
}

/** As long as the machine may be busy with something else. */
const LISTEN_DEADLINE_MS = 30_000;

/**
 * The real server as a process of its own, with nothing of this one's environment but the search path. It is
 * ended with the test that started it, however that one goes, unless several tests share it.
 */
export class ChildServer {
  /** What it has written so far, to standard output and to standard error. */
  output = '';
  errors = '';
  readonly startedMs = performance.now();
  readonly exited: Promise<Exit>;
  private readonly child: ChildProcess;

  constructor({
    env = {},
    args = [],
    root = ROOT,
    launcher = [],
    program = [process.execPath, 'src/main.ts'],
    redirect = '',
    isShared,
  }: ChildOptions = {}) {
    const command = [...launcher, ...program, ...args];
    this.child = spawn('sh', ['-c', `exec "$@" ${redirect}`, 'sh', ...command], {
      cwd: root,
      env: {
        PATH: process.env['PATH'],
        // The server's own cache. Named here, it spares the process that sets up memory the types as well.
        ...(root === ROOT && { NODE_COMPILE_CACHE: COMPILE_CACHE }),
        HOST: '127.0.0.1',
        PORT: '0',
        FRONTS: '1',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.errors += text));
    // `close` comes after `exit`, when both outputs have been read to their ends.
    this.exited = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => resolve({ code, signal }));
    });
    if (!isShared) onTestFinished(() => this.end());
  }

  /** Starts a server. @returns it, with its port, once it listens. */
  static async listening(options: ChildOptions = {}): Promise<{ child: ChildServer; port: number }> {
    const child = new ChildServer(options);
    return { child, port: await child.port() };
  }

  async end(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** What a server with the environment `REPORTING` holds just now, and the modules that it has loaded. */
  async report(): Promise<{ resources: Record<string, number>; modules: string[] }> {
    const reports = (): string[] => this.output.match(/^.*"resources":.*$/gm) ?? [];
    const before = reports().length;
    this.signal('SIGCONT');
    await expect.poll(() => reports().length).toBe(before + 1);
    return JSON.parse(reports().at(-1)!) as { resources: Record<string, number>; modules: string[] };
  }

  /** The port, as soon as it has logged that it listens. */
  port(): Promise<number> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${why}: ${this.output}${this.errors}`));
      const timer = setTimeout(() => fail('does not listen'), LISTEN_DEADLINE_MS);
      const look = (): void => {
        const port = /"address":"https?:\/\/[^"]+:(\d+)","shards"/.exec(this.output)?.[1];
        if (port === undefined) return;
        clearTimeout(timer);
        resolve(Number(port));
      };
      this.child.stdout!.on('data', look);
      void this.exited.then(({ code }) => fail(`exit code ${code}`));
    });
  }

  /** Processor time that it has taken so far, over all its threads; Infinity where the system does not say. */
  processorMs(): number {
    const path = `/proc/${this.child.pid}/stat`;
    if (!existsSync(path)) return Infinity;
    // After the name in brackets; user and system time are fields 14 and 15, in hundredths of a second.
    const fields = readFileSync(path, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  /** The memory that is its own now and the most there has been; 0 where the system does not say. */
  residentBytes(): { readonly now: number; readonly most: number } {
    const path = `/proc/${this.child.pid}/status`;
    const status = existsSync(path) ? readFileSync(path, 'utf8') : '';
    const bytes = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
    return { now: bytes('VmRSS'), most: bytes('VmHWM') };
  }

  /** Whether it has a handler of its own for a signal by now; false where the system does not say. */
  handles(signal: NodeJS.Signals): boolean {
    const path = `/proc/${this.child.pid}/status`;
    const status = existsSync(path) ? readFileSync(path, 'utf8') : '';
    const caught = BigInt(`0x${/^SigCgt:\s+(\S+)/m.exec(status)?.[1] ?? 0}`);
    return ((caught >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n;
  }

  /** How many file handles it has open; 0 where the system does not say. */
  openHandles(): number {
    const path = `/proc/${this.child.pid}/fd`;
    return existsSync(path) ? readdirSync(path).length : 0;
  }

  /** From now on its outputs have no reader. */
  stopReading(): void {
    this.child.stdout!.destroy();
    this.child.stderr!.destroy();
  }

  get pid(): number {
    return this.child.pid!;
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }
}
