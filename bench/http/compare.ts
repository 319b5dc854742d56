/** Whether the working tree is faster or slower than another commit: both side by side, in the same minutes. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseCount, parseNames, readFlags } from '../lib/flags.ts';
import { startOurs } from '../lib/peers.ts';
import { temporaryDirectory } from '../lib/process.ts';
import { say } from '../lib/progress.ts';
import { peerOf } from './peers.ts';
import { WORKLOAD_NAMES } from './plan.ts';
import { measureTwo, planOfTwo } from './side-by-side.ts';

const DEFAULT_WORKLOADS = 'get-hits,put,pipelined,connections-1';
const SECONDS = 0.6;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OURS = 'working-tree';
const THEIRS = 'commit';

const HELP = `Compares the working tree with another commit.

  npm run bench:compare <git ref> -- [--starts N] [--rounds N] [--shards N] [--only NAME,…]

  --starts   how often both servers start anew (default 5): the same code is faster in one process than in the next
  --rounds   measurements of each after each start, in turns of ${SECONDS} s (default 6)
  --shards   SHARDS of both servers (default 1)
  --only     of ${WORKLOAD_NAMES.join(', ')}
             (default ${DEFAULT_WORKLOADS})
`;

function git(...args: string[]): Buffer {
  return execFileSync('git', args, { cwd: ROOT, maxBuffer: 2 ** 30 });
}

/** Puts a commit's files into a directory, with the packages that it asks for. */
function checkOut(ref: string): string {
  const directory = temporaryDirectory('compare');
  execFileSync('tar', ['-x', '-C', directory], { input: git('archive', ref) });
  if (productionPackages(directory) === productionPackages(ROOT)) {
    symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  } else {
    say(`${ref} needs other packages: installing them`);
    // Not `npm ci`, which refuses lockfiles that lack packages of other systems.
    const flags = ['--omit=dev', '--prefer-offline', '--no-audit', '--no-fund'];
    execFileSync('npm', ['install', ...flags], { cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] });
  }
  return directory;
}

/** The packages that a server may load, with their versions. */
function productionPackages(root: string): string {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; version?: string }>;
  };
  const production = Object.entries(lock.packages).filter(([path, { dev }]) => path !== '' && dev !== true);
  return JSON.stringify(production.map(([path, { version }]) => [path, version]));
}

function parseRef([ref]: readonly string[]): string {
  if (ref === undefined) throw new Error('a git ref is missing');
  const { status } = spawnSync('git', ['rev-parse', '--verify', `${ref}^{commit}`], { cwd: ROOT });
  if (status !== 0) throw new Error(`${ref}: git knows no such commit`);
  return ref;
}

const { ref, starts, rounds, shards, only } = readFlags(HELP, () => {
  const { values, positionals } = parseArgs({
    options: {
      starts: { type: 'string', default: '5' },
      rounds: { type: 'string', default: '6' },
      shards: { type: 'string', default: '1' },
      only: { type: 'string', default: DEFAULT_WORKLOADS },
    },
    allowPositionals: true,
  });
  return {
    ref: parseRef(positionals),
    starts: parseCount('starts', values.starts),
    rounds: parseCount('rounds', values.rounds),
    shards: parseCount('shards', values.shards),
    only: parseNames('only', values.only, WORKLOAD_NAMES),
  };
});
const ours = peerOf(OURS, 'working tree', 'ours', () => startOurs(shards));
const tree = checkOut(ref);
const theirs = peerOf(THEIRS, ref, 'ours', () => startOurs(shards, {}, tree));
await measureTwo(planOfTwo([ours, theirs], only, rounds, SECONDS), starts);
