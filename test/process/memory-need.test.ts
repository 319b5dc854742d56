import { expect, test } from 'vitest';
import { ChildServer } from '../support/child-server.ts';
import { readPage } from '../readme/page.ts';

/** The one number, in MiB, of a sentence of a page. */
function mibIn(page: string, sentence: RegExp): number {
  const [, mib] = sentence.exec(readPage(page).replaceAll(/\s+/g, ' '))!;
  return Number(mib);
}

const firstMib = mibIn('README.md', /One shard needs a limit of about (\d+) MiB/);
const furtherMib = mibIn('docs/scaling.md', /Each further shard takes about (\d+) MiB of the limit/);

test.each([1, 2, 4])('%i shard(s) start with the memory limit that the documents name', async (shards) => {
  const env = { SHARDS: String(shards), MEMORY_LIMIT: `${firstMib + (shards - 1) * furtherMib}mb` };
  const { child } = await ChildServer.listening({ env });
  await child.end();

  const check = new ChildServer({ env, args: ['--check-config'] });
  expect((await check.exited).code).toBe(0);
  expect(check.errors).toBe('');
});

test('one shard does not start with 15 % less', async () => {
  const child = new ChildServer({ env: { SHARDS: '1', MEMORY_LIMIT: `${Math.round(firstMib * 0.85)}mb` } });
  expect((await child.exited).code).toBe(78);
});
