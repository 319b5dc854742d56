import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readSettings } from '../../src/config/settings.ts';
import { snapshotFaults } from '../../src/config/snapshot-file.ts';

const FILE = join(tmpdir(), 'snapshot');

function faultsOf(env: Readonly<Record<string, string>>): readonly string[] {
  return snapshotFaults(readSettings(env).settings!);
}

test('a snapshot of copies is refused: after a restart they would be stale', () => {
  expect(faultsOf({ SNAPSHOT_FILE: FILE })).toStrictEqual([]);
  expect(faultsOf({ TIER_URL: 'redis://a' })).toStrictEqual([]);
  const faults = faultsOf({ SNAPSHOT_FILE: FILE, TIER_URL: 'redis://:hidden@a' });
  expect(faults).toStrictEqual([expect.stringMatching(/^SNAPSHOT_FILE: .*TIER_URL.*allowed: /)]);
  expect(faults[0]).not.toContain('hidden');
});

test('the name of a folder is refused, whether or not there is one', () => {
  const faults = faultsOf({ SNAPSHOT_FILE: `${FILE}/` });
  expect(faults).toStrictEqual([`SNAPSHOT_FILE: "${FILE}/" is not allowed; it is the name of a folder`]);
});
