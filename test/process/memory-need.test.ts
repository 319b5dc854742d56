import { expect, test } from 'vitest';
import { ChildServer } from '../support/child-server.ts';
import { readPage } from '../readme/page.ts';

const SENTENCE = /One shard needs a limit of about (\d+) MiB, each further one about (\d+) MiB more/.exec(
  readPage('README.md').replaceAll(/\s+/g, ' '),
)!;
const [firstMib, furtherMib] = SENTENCE.slice(1).map(Number);

test.each([1, 2, 4])('%i shard(s) start with the memory limit that README names', async (shards) => {
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
