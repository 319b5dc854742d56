/**
 * Makes `dist`, which the npm package has in the place of the sources: compiled JavaScript, and what the server reads as
 * files. The repository itself runs its sources, and needs none of this.
 *
 *   npm run build
 */
import { spawnSync } from 'node:child_process';
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import packageJson from '../../package.json' with { type: 'json' };

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DIST = `${ROOT}/dist`;
const PAGE = 'src/dashboard/page';

rmSync(DIST, { recursive: true, force: true });
const { status } = spawnSync(`${ROOT}/node_modules/.bin/tsc`, ['-p', 'tsconfig.build.json'], {
  cwd: ROOT,
  stdio: 'inherit',
});
if (status !== 0) process.exit(1);
cpSync(`${ROOT}/${PAGE}`, `${DIST}/${PAGE}`, {
  recursive: true,
  filter: (path) => !path.endsWith('tsconfig.json'),
});
// The compiled files have a scope of their own, since the imports of the other one name sources.
const { version, type, imports } = packageJson;
writeFileSync(
  `${DIST}/package.json`,
  `${JSON.stringify({ version, type, imports }, undefined, 2).replaceAll(/\.ts"/g, '.js"')}\n`,
);
