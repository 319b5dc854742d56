import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runProgram } from './run.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const NODES = `${ROOT}test/nodes/node_modules`;

/** Packs this repository, as a release would. @returns the tarball. */
export async function packInto(folder: string): Promise<string> {
  await runProgram('npm', ['pack', '--pack-destination', folder], { cwd: ROOT, env: NPM });
  const name = readdirSync(folder).find((file) => file.endsWith('.tgz'))!;
  return `${folder}/${name}`;
}

/** Installs the tarball into an empty project. What it depends on is in npm's cache, or comes from the registry. */
export async function installInto(folder: string, tarball: string): Promise<void> {
  writeFileSync(`${folder}/package.json`, '{"type":"module","private":true}');
  const flags = ['--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline', '--no-update-notifier'];
  await runProgram('npm', ['install', ...flags, tarball], { cwd: folder, env: NPM });
}

/** All of this process's environment, which says how npm reaches its registry; but for what npm and vitest have set. */
const NPM: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !/^(npm_|VITEST|NODE_ENV)/.test(entry[0]),
  ),
);

/** Executables of other versions of Node, by major; none where `npm ci --prefix test/nodes` was not run. */
export function otherNodes(): [name: string, path: string][] {
  const names = ['node20', 'node22', 'node24'];
  const nodes = names.map((name): [string, string] => [name, `${NODES}/${name}/bin/node`]);
  const installed = nodes.filter(([, path]) => existsSync(path));
  if (installed.length < nodes.length) console.log('other versions of Node are not installed: not tried');
  return installed;
}
