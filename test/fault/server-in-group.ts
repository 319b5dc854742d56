import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { MemoryGroup } from './memory-group.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const SAMPLE_MS = 20;

function spawnIn(group: MemoryGroup, settings: Readonly<Record<string, string>>): ChildProcess {
  // The shell enters the group and becomes the server: so every page of it is charged to the group.
  const script = 'echo $$ > "$0" && exec "$@"';
  return spawn('sh', ['-c', script, group.entrance, process.execPath, MAIN], {
    env: { PATH: process.env['PATH'], HOST: '127.0.0.1', PORT: '0', ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Runs a server that is not to start. @returns its exit code, or the signal that ended it, and what it said. */
export async function refusedIn(
  group: MemoryGroup,
  settings: Readonly<Record<string, string>>,
): Promise<{ exit: number | string; errors: string }> {
  const child = spawnIn(group, settings);
  let errors = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const [code, signal] = await once(child, 'close');
  return { exit: (code ?? signal) as number | string, errors };
}

/** The real server as a process of its own, inside a control group, with its memory watched. */
export class ServerInGroup {
  readonly port: number;
  /** What the cache can hold at the memory threshold: the threshold less what the empty process takes. */
  readonly roomBytes: number;
  /** The most memory seen that the kernel could not have taken back. */
  peakUnreclaimableBytes = 0;
  /** The kernel's own record of the most that was ever resident. */
  peakResidentBytes = 0;
  private readonly child: ChildProcess;
  private readonly exit: Promise<unknown[]>;
  private readonly sampler: NodeJS.Timeout;
  private readonly group: MemoryGroup;

  private constructor(child: ChildProcess, exit: Promise<unknown[]>, start: Start, group: MemoryGroup) {
    this.child = child;
    this.exit = exit;
    this.port = start.port;
    this.roomBytes = start.roomBytes;
    this.group = group;
    this.sampler = setInterval(() => this.sample(), SAMPLE_MS);
  }

  /** @param settings environment variables of the server. */
  static async start(group: MemoryGroup, settings: Readonly<Record<string, string>>): Promise<ServerInGroup> {
    const child = spawnIn(group, settings);
    child.stderr!.pipe(process.stderr);
    const exit = once(child, 'exit');
    return new ServerInGroup(child, exit, await listening(child), group);
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Ends the process if it still runs. @returns its exit code, or the signal that ended it. */
  async stop(): Promise<number | string> {
    this.sample();
    clearInterval(this.sampler);
    this.child.kill('SIGTERM');
    const [code, signal] = await this.exit;
    return (code ?? signal) as number | string;
  }

  /** Looks at memory now, as is done all the time. */
  sample(): void {
    this.peakUnreclaimableBytes = Math.max(this.peakUnreclaimableBytes, this.group.unreclaimableBytes());
    if (!this.isRunning) return;
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
    const peakKb = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
    if (peakKb !== undefined) this.peakResidentBytes = Number(peakKb) * 1024;
  }
}

interface Start {
  readonly port: number;
  readonly roomBytes: number;
}

/** What the server logs once it listens. */
interface ListeningRecord {
  readonly address: string;
  readonly limits: { readonly ceilingBytes: number; readonly marginBytes: number };
}

function listening(child: ChildProcess): Promise<Start> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout!.setEncoding('utf8');
    child.stdout!.on('data', (chunk: string) => {
      if (text.length < 10_000) text += chunk;
      const line = /^.*"address":"http.*}$/m.exec(text)?.[0];
      if (line === undefined) return;
      const { address, limits } = JSON.parse(line) as ListeningRecord;
      const roomBytes = limits.ceilingBytes - limits.marginBytes;
      resolve({ port: Number(new URL(address).port), roomBytes });
    });
    child.once('exit', () => reject(new Error(`the server ended before it listened: ${text}`)));
  });
}
