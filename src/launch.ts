/**
 * The C library's `malloc` gives memory back to the system at once only for what it maps on its own, and
 * glibc moves that threshold up, to as much as 32 MiB, whenever such memory is freed: after the first shed
 * order resident memory would not fall any more. Set in the environment the threshold stays where it is,
 * but glibc reads it only when a process begins. musl, and so Alpine, always behaves that way.
 */
const ALLOCATOR_ENVIRONMENT = { MALLOC_MMAP_THRESHOLD_: '131072' };

/** Begins this process anew, under the same id, with the allocator set up; does nothing when it is. */
export function setUpAllocator(): void {
  if (process.platform !== 'linux' || process.env['MALLOC_MMAP_THRESHOLD_'] !== undefined) return;
  process.execve?.(process.execPath, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], {
    ...process.env,
    ...ALLOCATOR_ENVIRONMENT,
  });
}
