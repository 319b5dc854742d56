import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { ROOT } from '../readme/page.ts';

const run = promisify(execFile);
const BENCHES = Object.keys(packageJson.scripts).filter((name) => name.startsWith('bench'));

test.each(BENCHES)('npm run %s -- --help prints its help and ends', async (name) => {
  const { stdout } = await run('npm', ['run', '--silent', name, '--', '--help'], { cwd: ROOT });
  expect(stdout).toContain(`npm run ${name}`);
});
