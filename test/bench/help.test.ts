import { expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { helpOf } from '../support/script-help.ts';

const BENCHES = Object.keys(packageJson.scripts).filter((name) => name.startsWith('bench'));

test.each(BENCHES)('npm run %s -- --help prints its help and ends', async (name) => {
  expect(await helpOf(name)).toContain(`npm run ${name}`);
});
