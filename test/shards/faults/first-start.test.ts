import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import type { StartFault } from '../../support/faults.ts';
import { startFaultyServer } from '../../support/faulty-server.ts';
import { resourcesBefore, untilNothingGrew } from '../../support/resources.ts';

/** A start has a timer of 5 s. It must be gone sooner. */
const GONE_WITHIN_MS = 3000;

/** Lets three starts fail. A fourth one would succeed, and so would the start of the server. */
async function expectRefused(fault: StartFault, error: RegExp): Promise<void> {
  const starting = startFaultyServer({ SHARDS: '1' }, [fault, fault, fault]);
  onTestFinished(() =>
    starting.then(
      (server) => server[Symbol.asyncDispose](),
      () => undefined,
    ),
  );
  await expect(starting).rejects.toThrow(error);
}

test('a shard that fails its first three starts ends that of the server, and leaves nothing behind', async () => {
  // The first logger adds a listener to the process, which stays.
  pino();
  const before = await resourcesBefore();
  await expectRefused('exit', /exited with code: 3/);
  await expectRefused('throw', /a fault was asked for/);
  // No thread has taken over the port of this start, so no thread closes it when it ends.
  await expectRefused('import', /a fault was asked for/);
  await untilNothingGrew(before, { timeout: GONE_WITHIN_MS });
});
