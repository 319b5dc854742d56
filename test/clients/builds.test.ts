import { describe, expect, test } from 'vitest';
import { IS_LONG } from '../support/long.ts';
import { startTestServer } from '../support/server.ts';
import { BUILD_TOOLS, Checkout, takesSecondsToStart } from './build-tools.ts';

const TOKEN = 'sesame';
const READ_TOKEN = 'open';

describe.each(BUILD_TOOLS)('$name', { timeout: 300_000 }, (tool) => {
  test('a build from an empty local cache gets what another has stored; one with a read token stores nothing', async () => {
    await using server = await startTestServer({
      SHARDS: '1',
      AUTH_TOKEN: TOKEN,
      AUTH_READ_TOKEN: READ_TOKEN,
    });
    const { port, router } = server;
    const stored = async (): Promise<number> => (await router.stats())[0].stats!.entries;
    const checkout = new Checkout(tool);
    if (IS_LONG || !takesSecondsToStart(tool)) {
      expect(await checkout.build({ port, token: READ_TOKEN })).toMatchObject({ isHit: false });
      expect(await stored()).toBe(0);
    }
    expect(await checkout.build({ port, token: TOKEN })).toMatchObject({ isHit: false });
    expect(await stored()).toBeGreaterThan(0);
    expect(await checkout.build({ port, token: READ_TOKEN })).toMatchObject({ isHit: true });
  });
});
