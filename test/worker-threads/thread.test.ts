import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { Thread } from '../../src/worker-threads/thread.ts';

const workerUrl = new URL('../support/loaded-worker.ts', import.meta.url);

test("a thread's module is imported, not required: Node would crash where the thread is ended meanwhile", async () => {
  const thread = new Thread({ workerUrl, heapMb: 64 }, () => undefined);
  onTestFinished(() => thread.end(new Error('the test is over')));
  const { port1, port2 } = new MessageChannel();
  thread.start({ port: port2 }, [port2]);
  const [how] = (await once(port1, 'message')) as [string];
  port1.close();
  expect(how).toBe('imported');
});

test('a thread that is ended before it has its task tells its end once', async () => {
  const reasons: unknown[] = [];
  const thread = new Thread({ workerUrl, heapMb: 64 }, (reason) => reasons.push(reason));
  const { port1, port2 } = new MessageChannel();
  thread.start({ port: port2 }, [port2]);
  const reason = new Error('it is not wanted any more');
  await thread.end(reason);
  await nextTurn();
  await nextTurn();
  port1.close();
  expect(reasons).toStrictEqual([reason]);
});
