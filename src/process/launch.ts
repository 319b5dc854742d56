import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { flushCompileCache, getCompileCacheDir } from 'node:module';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseByteSize } from '../config/byte-size.ts';
import { readTextFile } from '../config/control-groups.ts';
import { heapFlags, mmapThresholdBytes } from '../config/memory-shares.ts';
import { findMemoryLimit } from '../memory/probe.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/**
 * Where Node keeps the compiled sources, without types, for the next start. The folder lies beside the packages, so that
 * only the user who installed them can write there. Where Node may not write, it works without the cache.
 */
export const COMPILE_CACHE = join(ROOT, 'node_modules/.cache/key-value-cache');
/** Written into the cache when all that the server loads has been compiled. */
const STAMP = 'complete';
/** Set when the process has replaced itself once. */
const MARK = 'KEY_VALUE_CACHE_LAUNCHED';

/**
 * Without this flag, SIGUSR1 opens Node's debugger on port 9229. Any user of the machine could then run code in this
 * process. With the flag, the signal does nothing. It must not end the process either: other servers reopen their log on it. `--inspect`
 * still opens the debugger.
 */
const NO_DEBUGGER_BY_SIGNAL = '--disable-sigusr1';
const MIN_NODE_MAJOR = 26;
/** `EX_CONFIG` of sysexits: the configuration is at fault. */
export const EXIT_CONFIGURATION = 78;

/** Ends the process with one line if Node is too old. A Node that cannot run TypeScript at all fails before this line. */
export function requireNode(): void {
  if (Number.parseInt(process.versions.node, 10) >= MIN_NODE_MAJOR) return;
  console.error(`key-value-cache needs Node ${MIN_NODE_MAJOR} or newer; this is ${process.version}`);
  process.exit(EXIT_CONFIGURATION);
}

/**
 * Replaces this process by a new one with the same id, whose allocator and V8 heap fit the memory limit. Both can only be
 * set when a process starts. Does nothing the second time.
 *
 * `malloc` gives freed memory back to the system at once only if it was mapped by itself (`mmap`), which it does above a
 * threshold. When such memory is freed, glibc raises the threshold, up to 32 MiB. After the first shed order, resident
 * memory would then no longer fall. A threshold that is set in the environment does not move, but glibc reads it only when
 * a process starts. musl, and so Alpine, never moves it.
 */
export function setUpMemory(): void {
  if (process.env[MARK] === String(process.pid)) return;
  const setting = parseByteSize(process.env['MEMORY_LIMIT'] ?? '');
  const { limitBytes } = findMemoryLimit(setting);
  const { known, unknown } = sortFlags([...heapFlags(limitBytes), NO_DEBUGGER_BY_SIGNAL]);
  if (unknown.length > 0) {
    console.error(`Node ${process.version} does not know ${unknown.join(', ')}: the server does without`);
  }
  // Where the environment names a cache, it has this process's modules as well, from the next start on.
  flushCompileCache();
  // Flags that were given by hand come last, and so win.
  beginAnew([...known, ...process.execArgv], {
    MALLOC_MMAP_THRESHOLD_: String(mmapThresholdBytes(limitBytes)),
    NODE_COMPILE_CACHE: COMPILE_CACHE,
    ...process.env,
    [MARK]: String(process.pid),
  });
}

/**
 * Finds out which flags this Node and its V8 know. V8 may drop a flag in any version, and Node does not start with an
 * unknown flag. The only way to find out is to run the executable, which takes 12 ms.
 */
export function sortFlags(flags: readonly string[]): {
  known: readonly string[];
  unknown: readonly string[];
} {
  // Not imported: the process that serves does not need it.
  const { spawnSync } = process.getBuiltinModule('node:child_process');
  const areKnown = (some: readonly string[]): boolean =>
    spawnSync(process.execPath, [...some, '--version'], { stdio: 'ignore' }).status === 0;
  if (areKnown(flags)) return { known: flags, unknown: [] };
  const known = flags.filter((flag) => areKnown([flag]));
  return { known, unknown: flags.filter((flag) => !known.includes(flag)) };
}

/**
 * If the sources have changed since they were compiled, or were never compiled: compiles all that the server will load,
 * and starts the process again. Otherwise each thread would load the code that strips types, which keeps 24 MiB resident.
 * @param loadAll loads all modules.
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
    // No permission to write: a new process would have to compile again.
    return;
  }
  // Handle a signal that has arrived by now: the new process would not see it.
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
  // A tick of the profiler's timer that is still to come would end the new process, which does not handle it yet.
  if (process.execArgv.some((flag) => flag.startsWith('--cpu-prof'))) return;
  process.execve?.(process.execPath, [process.execPath, ...flags, ...process.argv.slice(1)], environment);
}
