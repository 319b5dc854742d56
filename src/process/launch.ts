import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { flushCompileCache, getCompileCacheDir } from 'node:module';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseByteSize } from '../config/byte-size.ts';
import { heapFlags, mmapThresholdBytes } from '../config/memory-shares.ts';
import { findMemoryLimit, readTextFile } from '../memory/probe.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/**
 * Where Node keeps what it has compiled, types stripped and all, for the next start. Beside the packages, where only
 * who installed them may write; Node goes without where it may not.
 */
const COMPILE_CACHE = join(ROOT, 'node_modules/.cache/key-value-cache');
/** Written into the cache when all that the server loads has been compiled. */
const STAMP = 'complete';
/** Tells the process that it has begun anew. */
const MARK = 'KEY_VALUE_CACHE_LAUNCHED';

/**
 * Else SIGUSR1 opens Node's debugger on port 9229, where any user of the machine may run code in this process. With it the
 * signal does nothing: what other servers take as "open the log again" must not end this one. `--inspect` still debugs.
 */
const NO_DEBUGGER_BY_SIGNAL = '--disable-sigusr1';
const MIN_NODE_MAJOR = 26;
/** `EX_CONFIG` of sysexits: the configuration is at fault. */
export const EXIT_CONFIGURATION = 78;

/** Ends the process with one line where Node is too old. One that knows no TypeScript at all fails before it comes here. */
export function requireNode(): void {
  if (Number.parseInt(process.versions.node, 10) >= MIN_NODE_MAJOR) return;
  console.error(`key-value-cache needs Node ${MIN_NODE_MAJOR} or newer; this is ${process.version}`);
  process.exit(EXIT_CONFIGURATION);
}

/**
 * Begins this process anew, under the same id, with the allocator and V8's heap set up for its memory limit:
 * both are fixed when a process begins. Does nothing the second time.
 *
 * The C library's `malloc` gives memory back to the system at once only for what it maps on its own, and
 * glibc moves that threshold up, to as much as 32 MiB, whenever such memory is freed: after the first shed
 * order resident memory would not fall any more. Set in the environment the threshold stays where it is,
 * but glibc reads it only when a process begins. musl, and so Alpine, always behaves that way.
 */
export function setUpMemory(): void {
  if (process.env[MARK] === String(process.pid)) return;
  const setting = parseByteSize(process.env['MEMORY_LIMIT'] ?? '');
  const { limitBytes } = findMemoryLimit(setting);
  const { known, unknown } = sortFlags([...heapFlags(limitBytes), NO_DEBUGGER_BY_SIGNAL]);
  if (unknown.length > 0) {
    console.error(`Node ${process.version} does not know ${unknown.join(', ')}: the server does without`);
  }
  // Flags that were given by hand come last, and so win.
  beginAnew([...known, ...process.execArgv], {
    MALLOC_MMAP_THRESHOLD_: String(mmapThresholdBytes(limitBytes)),
    NODE_COMPILE_CACHE: COMPILE_CACHE,
    ...process.env,
    [MARK]: String(process.pid),
  });
}

/**
 * Tells which flags this Node and its V8 know. V8 promises none of them from one version to the next, and a process does
 * not start with one that is unknown. Only the executable itself can tell: it takes 12 ms.
 */
export function sortFlags(flags: readonly string[]): {
  known: readonly string[];
  unknown: readonly string[];
} {
  // Not imported: the process that serves needs it no more.
  const { spawnSync } = process.getBuiltinModule('node:child_process');
  const areKnown = (some: readonly string[]): boolean =>
    spawnSync(process.execPath, [...some, '--version'], { stdio: 'ignore' }).status === 0;
  if (areKnown(flags)) return { known: flags, unknown: [] };
  const known = flags.filter((flag) => areKnown([flag]));
  return { known, unknown: flags.filter((flag) => !known.includes(flag)) };
}

/**
 * Where the sources have changed since they were compiled, or never were: compiles all that the server is going to
 * load, and begins the process anew. What strips types, once in each thread, would leave 24 MiB resident for good.
 * @param loadAll loads it.
 */
export async function compileFirst(loadAll: () => Promise<void>): Promise<void> {
  const directory = getCompileCacheDir();
  if (directory === undefined || process.execve === undefined) return;
  const stamp = join(directory, STAMP);
  const newest = String(newestSourceMs());
  if (readTextFile(stamp) === newest) return;
  await loadAll();
  flushCompileCache();
  try {
    writeFileSync(stamp, newest);
  } catch {
    // Not ours to write: the next process would have to compile as well.
    return;
  }
  // A signal that has come meanwhile is handled now, or it would be lost.
  await nextTurn();
  beginAnew(process.execArgv, process.env);
}

/** When the last of the sources changed, by the clock of the file system, in milliseconds. */
function newestSourceMs(): number {
  const files = ['src', 'workers'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
      join(ROOT, folder, name),
    ),
  );
  return Math.max(...files.map((file) => statSync(file).mtimeMs));
}

function beginAnew(flags: readonly string[], environment: NodeJS.ProcessEnv): void {
  process.execve?.(process.execPath, [process.execPath, ...flags, ...process.argv.slice(1)], environment);
}
