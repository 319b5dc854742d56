import { isMainThread } from 'node:worker_threads';

/**
 * Loaded into the demo's server before anything else: ends the server when its standard input ends. The demo holds the
 * other end, so the server goes with it, even where the demo was killed. Not TypeScript, or what strips types would be
 * in that server's memory.
 */
if (isMainThread) process.stdin.once('end', () => process.kill(process.pid, 'SIGTERM')).resume();
