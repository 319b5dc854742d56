import { isMainThread } from 'node:worker_threads';

/**
 * Loaded into a server before anything else, by `NODE_OPTIONS`: on a signal it logs what it holds. Not TypeScript, or
 * what strips types would be in that server's memory.
 */
if (isMainThread) {
  process.on('SIGUSR2', () => {
    const resources = {};
    for (const type of process.getActiveResourcesInfo()) resources[type] = (resources[type] ?? 0) + 1;
    console.log(JSON.stringify({ level: 30, resources }));
  });
}
