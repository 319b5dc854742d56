import { fileURLToPath } from 'node:url';
import { parseByteSize } from './base/byte-size.ts';
import { heapFlags, mmapThresholdBytes } from './config/limits.ts';
import { findMemoryLimit } from './supervisor/memory-probe.ts';

/**
 * Where Node keeps what it has compiled, types stripped and all, for the next start: a quarter less time to the
 * first answer. Beside the packages, where only who installed them may write; Node goes without where it may not.
 */
const COMPILE_CACHE_ENVIRONMENT = {
  NODE_COMPILE_CACHE: fileURLToPath(new URL('../node_modules/.cache/key-value-cache', import.meta.url)),
};
/** Tells the process that it has begun anew. */
const MARK = 'KEY_VALUE_CACHE_LAUNCHED';

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
  if (process.env[MARK] === String(process.pid) || process.execve === undefined) return;
  const setting = parseByteSize(process.env['MEMORY_LIMIT'] ?? '');
  const { limitBytes } = findMemoryLimit(setting);
  const flags = heapFlags(limitBytes);
  // Flags that were given by hand come last, and so win.
  process.execve(
    process.execPath,
    [process.execPath, ...flags, ...process.execArgv, ...process.argv.slice(1)],
    {
      MALLOC_MMAP_THRESHOLD_: String(mmapThresholdBytes(limitBytes)),
      ...COMPILE_CACHE_ENVIRONMENT,
      ...process.env,
      [MARK]: String(process.pid),
    },
  );
}
