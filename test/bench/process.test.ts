import { expect, test } from 'vitest';
import { startProcess } from '../../bench/lib/process.ts';
import { mainThreadCpuMicros, serverCpuMicros, serverRssBytes } from '../../bench/lib/usage.ts';

test('a server is all that it started: its use counts together, and it ends together', async () => {
  const server = await startProcess({
    command: 'sh',
    args: ['-c', '(while :; do :; done) & sleep 60'],
    ready: () => Promise.resolve(true),
  });
  try {
    const ofOthers = () => serverCpuMicros(server.pid) - mainThreadCpuMicros(server.pid);
    await expect.poll(ofOthers).toBeGreaterThan(20_000);
    expect(serverRssBytes(server.pid)).toBeGreaterThan(0);
  } finally {
    await server.stop();
  }
  // The system may take a moment to clear up after the last one.
  await expect.poll(() => serverRssBytes(server.pid)).toBe(0);
});

test.each([
  ['that is not there', 'no-such-command', 'ENOENT'],
  ['that ends at once', 'true', 'ended with 0 before it was ready'],
])('a command %s is an error', async (_, command, message) => {
  const started = startProcess({ command, args: [], ready: () => Promise.resolve(false) });
  await expect(started).rejects.toThrow(message);
});
