import { existsSync, readdirSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { expect } from 'vitest';

/** Seen from within a poll, as later: it has a timer of its own, which must not look like a new one. */
export async function resourcesBefore(): Promise<Readonly<Record<string, number>>> {
  // The first of these starts the threads that Node keeps for files.
  await stat('/');
  let held: Record<string, number> = {};
  await expect.poll(() => (held = heldResources())).toBeDefined();
  return held;
}

/**
 * Waits until there is no more of anything than before.
 * @param options a timeout in ms, where a timer that is left behind must not have the time to run out.
 */
export async function untilNothingGrew(
  before: Readonly<Record<string, number>>,
  options: { readonly timeout?: number } = {},
): Promise<void> {
  await expect.poll(() => grown(before, heldResources()), options).toStrictEqual([]);
}

/** How many of each thing this process holds: what keeps its event loop alive, threads, files, listeners. */
function heldResources(): Record<string, number> {
  const held: Record<string, number> = {
    threads: countOf('/proc/self/task'),
    files: countOf('/proc/self/fd'),
    listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
  };
  for (const type of process.getActiveResourcesInfo()) held[type] = (held[type] ?? 0) + 1;
  return held;
}

/** What there is more of than there was before. */
export function grown(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): string[] {
  return Object.entries(after)
    .filter(([type, count]) => count > (before[type] ?? 0))
    .map(([type, count]) => `${type}: ${before[type] ?? 0} → ${count}`);
}

/** 0 where the system does not say. */
function countOf(folder: string): number {
  return existsSync(folder) ? readdirSync(folder).length : 0;
}
