/** Starts servers as processes, and ends them with everything that they started. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const OUTPUT_TAIL_CHARACTERS = 4_000;
const STOP_GRACE_MS = 6_000;
const READY_TIMEOUT_MS = 15_000;

/** A process that a benchmark started, with everything that it started in turn. */
export interface ServerProcess {
  readonly pid: number;
  /** Ends the whole process group: SIGTERM first, SIGKILL for what is left after some seconds. */
  readonly stop: () => Promise<void>;
}

export interface StartOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Added to this process's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Asked every 25 ms until it answers true; a rejection counts as "not yet". */
  readonly ready: () => Promise<boolean>;
}

/** A TCP port that is free on the loopback address at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A new directory that is removed when this process ends, unless by SIGKILL. */
export function temporaryDirectory(name: string): string {
  const directory = mkdtempSync(join(tmpdir(), `bench-${name}-`));
  atExit(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export function isInstalled(command: string): boolean {
  return spawnSync('which', [command]).status === 0;
}

/** Starts a command in a session of its own and waits until it is ready; stops it if it never is. */
export async function startProcess({ command, args, cwd, env, ready }: StartOptions): Promise<ServerProcess> {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A session and group of its own: one signal reaches every descendant, and Ctrl-C reaches only the benchmark.
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on(
      'data',
      (chunk: Buffer) => (output = (output + chunk.toString()).slice(-OUTPUT_TAIL_CHARACTERS)),
    );
  }
  await once(child, 'spawn');
  const exited = once(child, 'exit');
  const pid = child.pid!;
  const kill = (): void => signalGroup(pid, 'SIGKILL');
  const forget = atExit(kill);
  let isStopped = false;
  const stop = async (): Promise<void> => {
    if (isStopped) return;
    signalGroup(pid, 'SIGTERM');
    await Promise.race([exited, delay(STOP_GRACE_MS, undefined, { ref: false })]);
    // Also if the leader is gone: its descendants may not be.
    kill();
    await exited;
    isStopped = forget();
  };
  try {
    await waitUntilReady(child, ready);
  } catch (error) {
    await stop();
    throw new Error(`${command} ${args.join(' ')}: ${String(error)}\n${output}`, { cause: error });
  }
  return { pid, stop };
}

async function waitUntilReady(child: ChildProcess, ready: StartOptions['ready']): Promise<void> {
  const untilMs = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < untilMs) {
    const end = child.exitCode ?? child.signalCode;
    if (end !== null) throw new Error(`ended with ${end} before it was ready`);
    if (await ready().catch(() => false)) return;
    await delay(25);
  }
  throw new Error('was not ready in time');
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The group is gone already.
  }
}

const exitActions = new Set<() => void>();
let isHooked = false;

/**
 * Does something when this process ends, unless by SIGKILL: what was added last comes first, and what fails stops none
 * of the others.
 * @returns what takes it back.
 */
export function atExit(action: () => void): () => boolean {
  exitActions.add(action);
  if (!isHooked) {
    isHooked = true;
    process.on('exit', () => [...exitActions].toReversed().forEach(attempt));
    // 'exit' also follows an uncaught exception; signals need handlers that lead to it.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1));
  }
  return () => exitActions.delete(action);
}

function attempt(action: () => void): void {
  try {
    action();
  } catch (error) {
    console.error(error);
  }
}
