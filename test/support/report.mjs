import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';

/**
 * Loaded into a server before anything else, by `NODE_OPTIONS`: on a signal that ends no process it logs what it holds and which modules it
 * has loaded. Not TypeScript, or what strips types would be in that server's memory.
 */
if (isMainThread) {
  const { cache } = createRequire(import.meta.url);
  process.on('SIGCONT', () => {
    const resources = {};
    for (const type of process.getActiveResourcesInfo()) resources[type] = (resources[type] ?? 0) + 1;
    const modules = [...process.moduleLoadList, ...Object.keys(cache)];
    console.log(JSON.stringify({ level: 30, resources, modules }));
  });
}
