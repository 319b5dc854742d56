import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { headText, readTagSeed, tagSeedOf } from '../../src/snapshot/head.ts';
import { saveSnapshot } from '../../src/snapshot/save.ts';
import { makeFolder } from '../support/folder.ts';
import { createSegments } from '../support/segments.ts';
import { shardsOf } from '../support/snapshots.ts';

test.each([
  [0, 1],
  [0xffff_ffff, 0x0a0b_0c0d],
] as const)('the head of a snapshot has the seed %j', (...tagSeed) => {
  expect(headText(tagSeed)).toMatch(/^key-value-cache snapshot, format 1\ntag seed [\da-f]{16}\n$/);
  expect(tagSeedOf(headText(tagSeed))).toStrictEqual(tagSeed);
});

test('a head without a seed has none', () => {
  expect(tagSeedOf('key-value-cache snapshot, format 1\n')).toBeUndefined();
});

test('the seed is read from the file, and not from one that is damaged, foreign or missing', async () => {
  const path = join(makeFolder(), 'snapshot');
  expect(await readTagSeed(path)).toBeUndefined();
  const { stores } = createSegments({ shards: 2 });
  const signal = new AbortController().signal;
  await saveSnapshot(path, shardsOf(stores), { isUrgent: true, tagSeed: [7, 8], signal });
  expect(await readTagSeed(path)).toStrictEqual([7, 8]);
  const bytes = readFileSync(path);
  bytes[bytes.indexOf('tag seed') + 9] ^= 1;
  writeFileSync(path, bytes);
  expect(await readTagSeed(path)).toBeUndefined();
  writeFileSync(path, 'tag seed 0000000700000008\n');
  expect(await readTagSeed(path)).toBeUndefined();
});
