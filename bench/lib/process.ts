import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const STDERR_TAIL_CHARACTERS = 4_000;
const STOP_GRACE_MS = 6_000;

/** A process a benchmark started, with everything it started in turn. */
export interface ServerProcess {
  readonly pid: number;
  /** Ends the whole process group: SIGTERM, and SIGKILL for what is left after some seconds. */
  stop(): Promise<void>;
  /** The last lines it wrote to standard output and error: what to show when it would not start. */
  stderrTail(): string;
}

export interface StartOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Added to this process's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Asked every 25 ms until it answers true; a rejection counts as "not yet". */
  readonly ready: () => Promise<boolean>;
  readonly readyTimeoutMs?: number;
}

/** A TCP port free on the loopback address at this moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === 'string') reject(new Error('no TCP address'));
        else resolve(address.port);
      });
    });
  });
}

/** Starts a command in a process group of its own and waits until it is ready; stops it if it never is. */
export async function startProcess(options: StartOptions): Promise<ServerProcess> {
  killGroupsOnExit();
  const child = spawn(options.command, options.args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: one signal reaches every descendant, and Ctrl-C reaches us alone.
    detached: true,
  });
  const tail = collectTail(child);
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  const pid = child.pid!;
  groups.add(pid);
  const stop = async (): Promise<void> => {
    if (!groups.has(pid)) return;
    signalGroup(pid, 'SIGTERM');
    await Promise.race([exited, delay(STOP_GRACE_MS, undefined, { ref: false })]);
    // Also when the leader is gone: its descendants may not be.
    signalGroup(pid, 'SIGKILL');
    await exited;
    groups.delete(pid);
  };
  try {
    await waitUntilReady(child, options);
  } catch (error) {
    await stop();
    throw new Error(`${options.command} ${options.args.join(' ')}: ${String(error)}\n${tail()}`, {
      cause: error,
    });
  }
  return { pid, stop, stderrTail: tail };
}

async function waitUntilReady(child: ChildProcess, options: StartOptions): Promise<void> {
  const until = performance.now() + (options.readyTimeoutMs ?? 15_000);
  while (performance.now() < until) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`ended with ${child.exitCode ?? child.signalCode} before it was ready`);
    }
    if (await options.ready().catch(() => false)) return;
    await delay(25);
  }
  throw new Error('was not ready in time');
}

function collectTail(child: ChildProcess): () => string {
  let tail = '';
  const append = (chunk: Buffer): void => {
    tail = (tail + chunk.toString()).slice(-STDERR_TAIL_CHARACTERS);
  };
  child.stdout?.on('data', append);
  child.stderr?.on('data', append);
  return () => tail;
}

// --- nothing outlives the benchmark ---

const groups = new Set<number>();
let isHooked = false;

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The group is gone already.
  }
}

function killGroupsOnExit(): void {
  if (isHooked) return;
  isHooked = true;
  // 'exit' also follows an uncaught exception; signals need their own handlers to lead to it.
  process.on('exit', () => {
    for (const pid of groups) signalGroup(pid, 'SIGKILL');
  });
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.on(signal, () => process.exit(code));
  }
}

// --- what processes use, from /proc ---

/**
 * Processor time of a process tree since its start, in µs: every living thread of `pid` and of its living
 * descendants. From schedstat, because the tick counts of /proc/PID/stat are 10 ms coarse.
 */
export function treeCpuMicros(pid: number): number {
  let micros = 0;
  for (const member of processTree(pid)) {
    for (const tid of listNumbers(`/proc/${member}/task`)) micros += taskCpuMicros(member, tid);
  }
  return micros;
}

/** Processor time of a process's first thread since its start, in µs: Node's event loop. */
export function mainThreadCpuMicros(pid: number): number {
  return taskCpuMicros(pid, pid);
}

/** Resident bytes of a process tree; pages that its processes share count once for each. */
export function treeRssBytes(pid: number): number {
  let bytes = 0;
  for (const member of processTree(pid)) {
    const match = /^VmRSS:\s+(\d+) kB/m.exec(readOrEmpty(`/proc/${member}/status`));
    if (match !== null) bytes += Number(match[1]) * 1024;
  }
  return bytes;
}

function taskCpuMicros(pid: number, tid: number): number {
  const nanos = Number(readOrEmpty(`/proc/${pid}/task/${tid}/schedstat`).split(' ', 1)[0]);
  return Number.isFinite(nanos) ? nanos / 1_000 : 0;
}

function processTree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const pid of listNumbers('/proc')) {
    const stat = readOrEmpty(`/proc/${pid}/stat`);
    // "pid (name) state ppid …": a name may itself hold parentheses and blanks, so count from the last one.
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ', 2)[1]);
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [pid]);
    else siblings.push(pid);
  }
  const tree = [root];
  for (const member of tree) tree.push(...(children.get(member) ?? []));
  return tree;
}

function listNumbers(directory: string): number[] {
  try {
    return readdirSync(directory).map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** Whether a command can be run: an executable file of that name on the PATH, or at that path. */
export function onPath(command: string): boolean {
  const directories = command.includes('/') ? [''] : (process.env['PATH'] ?? '').split(delimiter);
  return directories.some((directory) => {
    try {
      accessSync(join(directory, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
