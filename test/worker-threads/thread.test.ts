import { once } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { Thread } from '../../src/worker-threads/thread.ts';

test("a thread's module is imported, not required: Node would crash where the thread is ended meanwhile", async () => {
  const workerUrl = new URL('../support/loaded-worker.ts', import.meta.url);
  const thread = new Thread({ workerUrl, heapMb: 64 }, () => undefined);
  onTestFinished(() => thread.end(new Error('the test is over')));
  const { port1, port2 } = new MessageChannel();
  thread.start({ port: port2 }, [port2]);
  const [how] = (await once(port1, 'message')) as [string];
  port1.close();
  expect(how).toBe('imported');
});
