import { isMainThread } from 'node:worker_threads';

/** Loaded into a server before anything else, by `NODE_OPTIONS`: on signals that end no process it misbehaves. */
if (isMainThread) {
  process.on('SIGCONT', () => {
    for (let i = 0; i < 1000; i++) process.emitWarning(`warning ${i}: ${'x'.repeat(200)}`);
  });
  process.on('SIGWINCH', () => {
    throw new Error('nobody foresaw this');
  });
}
