import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { HAS_BROWSER, LOOK, TestBrowser, expectText } from '../support/browser.ts';
import { ChildServer } from '../support/child-server.ts';
import { freePort } from '../support/free-port.ts';
import { HttpClient } from '../support/http-client.ts';
import { PrefixProxy } from '../support/prefix-proxy.ts';
import { HAS_REDIS, RedisServer } from '../support/redis.ts';
import { startTestServer } from '../support/server.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const browser = new TestBrowser();

async function isLive(page: Page): Promise<void> {
  await expectText(page, '#status', /^Live$/);
  await expectText(page, '#figure-memory', /^[\d.]+ MiB$/);
}

/** What axe-core has against the page. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run: () => Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
    };
    const { violations: found } = await axe.run();
    return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  });
}

/** How many pixels of a chart have the colour of a custom property. */
function countPixels(page: Page, chart: string, color: string): Promise<number> {
  const script = `(() => {
    const hex = getComputedStyle(document.documentElement).getPropertyValue('--${color}').trim();
    const wanted = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    const canvas = document.querySelector('#${chart} canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] === 255 && wanted.every((part, at) => data[i + at] === part)) count++;
    }
    return count;
  })()`;
  return page.evaluate(script);
}

/** The sizes of many shards are hidden at first. */
async function readByTap(page: Page, areMany: boolean): Promise<void> {
  const sizes = page.locator('#shards .sizes').first();
  expect(await sizes.isVisible()).toBe(!areMany);
  await page.locator('#shards > li').first().click();
  expect(await sizes.isVisible()).toBe(true);
}

async function readByKeyboard(page: Page): Promise<void> {
  await expectText(page, '#memory-legend', /shard died/);
  await expectText(page, '#note-requests', /get/);
  await page.locator('#requests-chart').focus();
  await page.keyboard.press('ArrowLeft');
  await expectText(page, '#told', /^\d\d:\d\d:\d\d: get [–\d].*, refused [–\d]/);
  await expectText(page, '#requests-legend', /at \d\d:\d\d:\d\d$/);
  await page.keyboard.press('Home');
  await expectText(page, '#told', /: get –, /);
  await page.keyboard.press('Tab');
  await expectText(page, '#requests-legend', /refused [\d,]+$/);
}

describe.skipIf(!HAS_BROWSER)('the dashboard in a browser', { timeout: 90_000 }, () => {
  test('puts, gets and deletes a key, says what is known of it, and counts', async () => {
    await using server = await startTestServer({ SHARDS: '2' });
    const { page, faults } = await browser.open(`${server.address}/`);
    await isLive(page);
    expect(await page.locator('#shards > li').count()).toBe(2);
    expect(await page.locator('#tier').isVisible()).toBe(false);
    await expectText(page, '#events', /listening on .* with 2 shards/);
    await page.getByLabel('Key').fill('user:42 ?/&');
    await page.getByLabel('Value').fill('Ada\n"x"');
    await page.getByLabel('Time to live').fill('600');
    await page.getByLabel('Time to live').press('Enter');
    await expectText(page, '#entry-result', /^Stored\.$/);
    await expectText(page, '#entry-shard', /^shard [01]$/);
    await expectText(page, '#entry-size', /^11 B key, 7 B value; \d+ B held$/);
    await expectText(page, '#entry-age', /not kept/);
    await expectText(page, '#entry-ttl', /^expires in (10 min|9 min 5\d s)/);
    await expectText(page, '#figure-entries', /^1$/);
    // The Enter key asks, too: the first button of the form is that of a read.
    await page.getByLabel('Key').press('Enter');
    await expectText(page, '#entry-value', /^Ada\n"x"$/);
    await expectText(page, '#note-hits', /^100 % since the start$/);
    // Only a PUT is held up by what it alone needs.
    await page.getByLabel('Time to live').fill('-1');
    await page.getByRole('button', { name: 'Delete' }).click();
    await expectText(page, '#entry-result', /^Deleted\.$/);
    await expectText(page, '#entry-size', /^not stored$/);
    await expectText(page, '#figure-entries', /^0$/);
    expect(faults).toStrictEqual([]);
    await page.getByLabel('Time to live').fill('');
    await page.getByLabel('Key').fill('');
    await page.getByRole('button', { name: 'Get' }).click();
    expect(await page.evaluate('document.activeElement.id')).toBe('key');
    await expectText(page, '#entry-result', /^Deleted\.$/);
    await page.getByLabel('Key').fill('clé');
    await page.getByRole('button', { name: 'Put' }).click();
    await expectText(page, '#entry-result', /^key must be 1 to 256 printable ASCII characters/);
  });

  test('draws a shed and tells it in the words of the log', async () => {
    const { child, port } = await ChildServer.listening({ env: { SHARDS: '1', MEMORY_LIMIT: '256mb' } });
    const client = new HttpClient(port);
    const { page, faults } = await browser.open(`http://127.0.0.1:${port}/dashboard`);
    await isLive(page);
    expect(await countPixels(page, 'memory-chart', 'shed')).toBe(0);
    const value = 'x'.repeat(200_000);
    for (let i = 0; i < 2000 && !child.output.includes('shed 10 %'); i++) await client.put(`key-${i}`, value);
    const words = /shed 10 %: asked [^"]*? ms/.exec(child.output)![0];
    await expect.poll(() => page.locator('#events').textContent(), LOOK).toContain(words);
    await expect.poll(() => countPixels(page, 'memory-chart', 'shed'), LOOK).toBeGreaterThan(20);
    await expectText(page, '#note-gone', /^[1-9][\d,]* shed/);
    expect(await countPixels(page, 'memory-chart', 'used')).toBeGreaterThan(20);
    expect(faults).toStrictEqual([]);
    client.close();
  });

  test('marks evictions where they happen, and tells of a shard that dies', async () => {
    await using server = await startTestServer({ SHARDS: '1', CAPACITY: '5' });
    const { page, faults } = await browser.open(`${server.address}/`);
    await isLive(page);
    expect(await countPixels(page, 'memory-chart', 'evicted')).toBe(0);
    for (let i = 0; i < 50; i++) await server.client.put(`key-${i}`, 'v');
    await expectText(page, '#note-gone', /^0 shed, 45 evicted$/);
    // It ends where the plot does: the padding at the right stays free.
    const beyond = `(() => {
      const canvas = document.querySelector('#memory-chart canvas');
      const { data } = canvas.getContext('2d').getImageData(canvas.width - 18, 100, 18, canvas.height - 140);
      return data.some((part, i) => i % 4 === 3 && part > 0);
    })()`;
    expect(await page.evaluate(beyond)).toBe(false);
    // A bar is as wide as a second of the minute that is shown at first.
    expect(await countPixels(page, 'memory-chart', 'evicted')).toBeGreaterThan(150);
    expect(await page.locator('#memory-chart').getAttribute('aria-label')).toMatch(
      /^Memory over the last 1 min\. Now: /,
    );
    const grown = `import('./dashboard/window.js').then(({ windowOf, ticksOf, formatAgo, thinned }) =>
      [[0, 90, 900].map((ageS) => ticksOf(windowOf(ageS)).map(formatAgo).join()), thinned([9, 1, 2, 5], 4)])`;
    expect(await page.evaluate(grown)).toStrictEqual([
      ['−45 s,−30 s,−15 s,now', '−1 min,−30 s,now', '−4 min,−3 min,−2 min,−1 min,now'],
      [1, 5, 9],
    ]);
    await server.router.shards[0].kill();
    await expectText(page, '#events', /error: shard 0 died, and .* of entries with it/);
    await expectText(page, '#events', /shard 0 is back up after \d+ ms, empty/);
    await expectText(page, '#figure-entries', /^0$/);
    expect(faults).toStrictEqual([]);
  });

  test('stops listening when nobody has looked at it for minutes, and goes on when somebody does', async () => {
    await using server = await startTestServer({ SHARDS: '1' });
    const { page } = await browser.open(`${server.address}/`, { hasFakeClock: true });
    await isLive(page);
    const hide = (isHidden: boolean): Promise<unknown> =>
      page.evaluate(`Object.defineProperty(document, 'hidden', { value: ${isHidden}, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'))`);
    await hide(true);
    await page.clock.fastForward('04:30');
    await isLive(page);
    await page.clock.fastForward('00:31');
    await expectText(page, '#status', /^Paused while nobody looks$/);
    await hide(false);
    await isLive(page);
  });

  test.each([
    ['light', 2],
    ['dark', 9],
  ] as const)(
    '%s, %i shards: all fits, can be read by keyboard and by tap, and axe-core has nothing against it',
    async (colorScheme, shards) => {
      await using server = await startTestServer({ SHARDS: String(shards) });
      const { page, faults } = await browser.open(`${server.address}/dashboard`, { colorScheme });
      await isLive(page);
      await page.getByLabel('Key').fill(`a long key ${'x'.repeat(200)}`);
      await page.getByLabel('Value').fill('v'.repeat(500));
      await page.getByRole('button', { name: 'Put' }).click();
      await expectText(page, '#entry-result', /^Stored\.$/);
      await page.getByRole('button', { name: 'Get' }).click();
      await expectText(page, '#entry-value', /^v{500}$/);
      for (const width of [1280, 360]) {
        await page.setViewportSize({ width, height: 800 });
        // The charts follow when the page has been laid out.
        await expect
          .poll(() => page.evaluate('document.documentElement.scrollWidth - innerWidth'), LOOK)
          .toBeLessThanOrEqual(0);
        expect(await violations(page)).toStrictEqual([]);
      }
      await readByTap(page, shards === 9);
      await readByKeyboard(page);
      expect(await violations(page)).toStrictEqual([]);
      expect(faults).toStrictEqual([]);
    },
  );

  test('asks for the token, and keeps it in its memory only', async () => {
    await using server = await startTestServer({ SHARDS: '1', AUTH_TOKEN: 'open-sesame' });
    const { page, faults } = await browser.open(`${server.address}/`);
    await expectText(page, '#status', /^Waits for the token$/);
    const links = page.getByRole('navigation').getByRole('link');
    expect(await links.allTextContents()).toStrictEqual(['API', 'OpenAPI', 'Health', 'Ready']);
    expect(await violations(page)).toStrictEqual([]);
    // Nothing was refused so far: nothing was asked.
    expect(faults).toStrictEqual([]);
    await page.keyboard.type('wrong');
    await page.keyboard.press('Enter');
    await expectText(page, '#token-fault', /^That is not the token\.$/);
    await page.getByRole('textbox', { name: 'Token' }).fill('open-sesame');
    await page.getByRole('button', { name: 'Open' }).click();
    await isLive(page);
    await page.getByLabel('Key').fill('a');
    await page.getByRole('button', { name: 'Put' }).click();
    await expectText(page, '#entry-result', /^Stored\.$/);
    const kept =
      '[localStorage.length, sessionStorage.length, document.cookie, location.search + location.hash]';
    expect(await page.evaluate(kept)).toStrictEqual([0, 0, '', '']);
    await page.reload();
    await expectText(page, '#status', /^Waits for the token$/);
  });

  test('says when the connection is lost, and goes on when the server is back', async () => {
    const PORT = String(await freePort());
    const first = await startTestServer({ SHARDS: '1', PORT });
    const { page } = await browser.open(`${first.address}/`);
    await isLive(page);
    // A mark outlives its line in the list.
    first.logger.warn({ order: 1 }, 'shed for the test');
    await expectText(page, '#events', /shed for the test/);
    for (let i = 0; i < 100; i++) first.logger.info({}, `line ${i}`);
    await expectText(page, '#events', /line 99/);
    expect(await page.locator('#events').textContent()).not.toContain('shed for the test');
    await expect.poll(() => countPixels(page, 'memory-chart', 'shed'), LOOK).toBeGreaterThan(10);
    await first[Symbol.asyncDispose]();
    await expectText(page, '#status', /^Lost connection; tries again in 2 s$/);
    await using second = await startTestServer({ SHARDS: '3', PORT });
    await isLive(page);
    expect(second.address).toBe(first.address);
    expect(await page.locator('#shards > li').count()).toBe(3);
    expect(await countPixels(page, 'memory-chart', 'shed')).toBeGreaterThan(10);
  });

  test('loads with a low rate limit, and says when the feed is refused for it', async () => {
    await using server = await startTestServer({ SHARDS: '1', RATE_LIMIT: '5' });
    const { page, faults } = await browser.open(`${server.address}/dashboard`);
    await isLive(page);
    expect(faults).toStrictEqual([]);
    const refuse = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) await server.client.get('/stats');
    };
    await expect
      .poll(async () => (await refuse(), page.locator('#requests-legend').textContent()))
      .toMatch(/refused [\d,]+ \(rate limit [\d,]+\)/);
    await page.route('**/dashboard/feed', async (route) => {
      await refuse();
      await route.continue();
    });
    // The page itself counts.
    await expect.poll(async () => (await page.reload())!.status()).toBe(200);
    await expectText(
      page,
      '#status',
      /^More than 5 requests per second came from this address\. Tries again/,
    );
  });

  test.skipIf(!HAS_REDIS)('shows the engine behind the shards, and when a node is gone', async () => {
    await using redis = await RedisServer.start();
    await using server = await startTestServer({ SHARDS: '2', TIER_URL: redis.url });
    const { page, faults } = await browser.open(`${server.address}/`);
    await isLive(page);
    await expectText(page, '#tier-nodes', new RegExp(`^127.0.0.1:${redis.port} connected$`));
    const readNear = async (): Promise<string | null> => {
      await server.client.put('a', 'v');
      // Enough for a line that rises and falls steeply.
      for (let read = 0; read < 20; read++) await server.client.get('/cache/a');
      return page.locator('#tier-legend').textContent();
    };
    await expect.poll(readNear, LOOK).toMatch(/near hits [1-9][\d,]*engine hits 0misses 0/);
    const drawn = async (): Promise<number> => (await readNear(), countPixels(page, 'tier-chart', 'used'));
    await expect.poll(drawn, LOOK).toBeGreaterThan(10);
    await redis.kill();
    await expectText(page, '#tier-nodes', /gone$/);
    expect(await violations(page)).toStrictEqual([]);
    expect(faults).toStrictEqual([]);
  });

  test('works behind a proxy with a path prefix', async () => {
    await using server = await startTestServer({ SHARDS: '1' });
    const proxy = await PrefixProxy.listening(server.port, '/team-a/cache');
    const { page, faults } = await browser.open(`${proxy.origin}/team-a/cache/dashboard/`);
    await isLive(page);
    await page.getByLabel('Key').fill('a');
    await page.getByRole('button', { name: 'Put' }).click();
    await expectText(page, '#entry-shard', /^shard 0$/);
    expect(faults).toStrictEqual([]);
  });
});
