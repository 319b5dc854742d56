import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import { COMPILE_CACHE } from '../../src/process/launch.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Where the demo says that its dashboard is. */
export const DEMO_ADDRESS = /http:\/\/localhost:(\d+)\/\S+/;

/** The demo as its npm script starts it, on a free port. It ends with the test. */
export class DemoProcess {
  output = '';
  errors = '';
  readonly startedMs = performance.now();
  /** Its exit code. */
  readonly ended: Promise<number | null>;
  readonly child: ChildProcess;

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = { PORT: '0' }) {
    this.child = spawn(process.execPath, ['bench/demo/main.ts', ...args], {
      cwd: ROOT,
      env: {
        PATH: process.env['PATH'],
        NODE_COMPILE_CACHE: COMPILE_CACHE,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.errors += text));
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
    onTestFinished(async () => {
      this.child.kill('SIGKILL');
      await this.ended;
    });
  }

  /** The process id of its server, as soon as there is one. */
  async server(): Promise<number> {
    const { pid } = this.child;
    const children = (): number => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'));
    await expect.poll(children).toBeGreaterThan(0);
    return children();
  }

  async port(): Promise<number> {
    await expect.poll(() => this.output).toMatch(DEMO_ADDRESS);
    return Number(DEMO_ADDRESS.exec(this.output)![1]);
  }
}
