import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import type { StartFault } from '../../support/faults.ts';
import { startFaultyServer } from '../../support/faulty-server.ts';
import { resourcesBefore, untilNothingGrew } from '../../support/resources.ts';

/** A start may take 5 s: until then its timer would still be there. */
const GONE_WITHIN_MS = 3000;

/** Has as many starts fail as it takes: were it not refused, the next start would succeed, and so the server. */
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
  // The first logger of all adds a listener to the process, for good.
  pino();
  const before = await resourcesBefore();
  await expectRefused('exit', /exited with code: 3/);
  await expectRefused('throw', /a fault was asked for/);
  // No thread has taken over the port of such a start, and closed it with its end.
  await expectRefused('import', /a fault was asked for/);
  await untilNothingGrew(before, { timeout: GONE_WITHIN_MS });
});
