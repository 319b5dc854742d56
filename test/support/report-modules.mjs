import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';

/** Loaded into a server before anything else, by `NODE_OPTIONS`: on a signal it logs which modules have been loaded. */
if (isMainThread) {
  const { cache } = createRequire(import.meta.url);
  process.on('SIGUSR2', () => {
    const modules = [...process.moduleLoadList, ...Object.keys(cache)];
    console.log(JSON.stringify({ level: 30, modules }));
  });
}
