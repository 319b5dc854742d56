import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Whether util-linux's `script` is there, which others than Linux have another one of. */
export const HAS_TERMINALS = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes(
  'util-linux',
);
if (!HAS_TERMINALS) console.log('there is no `script` of util-linux: nothing is tried in a terminal');

/** A command in a real terminal, as a person starts it: the test sees what is shown, and types. */
export class Terminal {
  /** What has been shown so far. */
  screen = '';
  /** The exit code of the command. */
  readonly ended: Promise<number | null>;
  private readonly child: ChildProcess;

  constructor(command: string, env: Readonly<Record<string, string>> = {}) {
    this.child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
      cwd: ROOT,
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        TERM: 'xterm-256color',
        HOST: '127.0.0.1',
        PORT: '0',
        SHARDS: '1',
        ...env,
      },
      stdio: 'pipe',
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.screen += text));
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
    onTestFinished(async () => {
      this.close();
      await this.ended;
    });
  }

  type(text: string): void {
    this.child.stdin!.write(text);
  }

  /** The window is closed. */
  close(): void {
    this.child.kill('SIGKILL');
  }

  /** What has been shown, line by line. */
  get lines(): string[] {
    return this.screen.replaceAll('\r', '').split('\n');
  }
}
