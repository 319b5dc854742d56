import { expect, test } from 'vitest';
import { DEMO_ADDRESS, DemoProcess } from '../support/demo-process.ts';
import { HttpClient } from '../support/http-client.ts';
import { IS_LONG } from '../support/long.ts';
import { untilRefused } from '../support/raw-socket.ts';

/** What a newcomer is to wait at most. */
const SHED_DEADLINE_MS = 20_000;
const ORDERS = IS_LONG ? 3 : 2;

/** When each shed order was shown, and how much it asked for. */
function watchOrders(demo: DemoProcess): readonly { readonly atMs: number; readonly askedMib: number }[] {
  const orders: { atMs: number; askedMib: number }[] = [];
  demo.child.stdout!.on('data', () => {
    const shown = [...demo.output.matchAll(/^shed 10 %: asked (\S+) MiB, freed \S+ MiB in \d+ ms$/gm)];
    for (const [, mib] of shown.slice(orders.length)) {
      orders.push({ atMs: performance.now(), askedMib: Number(mib) });
    }
  });
  return orders;
}

/** One run shows all of it, since it takes the demo up to half a minute. The first two are not as far apart as later ones. */
test('npm run demo: a shed order within 20 s, then one of some 20 MiB again and again, until Ctrl-C', async () => {
  const demo = new DemoProcess([]);
  const orders = watchOrders(demo);
  const port = await demo.port();
  const client = new HttpClient(port);
  const { memory } = await client.stats();
  expect(memory.limitBytes).toBe(512 * 2 ** 20);
  expect((await fetch(DEMO_ADDRESS.exec(demo.output)![0])).status).toBe(200);
  await expect.poll(() => orders.length, { timeout: SHED_DEADLINE_MS }).toBeGreaterThan(0);
  expect(orders[0].atMs - demo.startedMs).toBeLessThan(SHED_DEADLINE_MS);

  // The first one ends the filling, which may go on for a moment.
  await expect.poll(() => orders.length, { timeout: 2 * SHED_DEADLINE_MS }).toBeGreaterThanOrEqual(ORDERS);
  for (const { askedMib } of orders) expect(Math.abs(askedMib - 22)).toBeLessThan(6);
  const apartMs = orders[ORDERS - 1].atMs - orders[ORDERS - 2].atMs;
  // Twice as far apart where a machine is slow.
  if (IS_LONG) expect(apartMs).toBeGreaterThan(4000);
  expect(apartMs).toBeLessThan(20_000);

  expect((await client.stats()).totals.shedOrders).toBeGreaterThanOrEqual(ORDERS);
  client.close();
  demo.child.kill('SIGINT');
  expect(await demo.ended).toBe(0);
  expect(demo.errors).toBe('');
  expect(demo.output).toMatch(/^After \d+ s: [1-9]\d* shed orders? \| .* keys put\.\nAt most /m);
  await untilRefused(port);
});
