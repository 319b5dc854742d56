import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import packageJson from '../../package.json' with { type: 'json' };
import { COMPILE_CACHE } from '../../src/process/launch.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SCRIPTS: Readonly<Record<string, string>> = packageJson.scripts;
const run = promisify(execFile);
const known = new Map<string, Promise<string>>();

/** What an npm script prints with `--help`. It runs without npm, which takes longer than the script does. */
export function helpOf(script: string): Promise<string> {
  let help = known.get(script);
  if (help === undefined) {
    help = askForHelp(script);
    known.set(script, help);
  }
  return help;
}

async function askForHelp(script: string): Promise<string> {
  const env = {
    PATH: `${ROOT}node_modules/.bin:${process.env['PATH']}`,
    HOME: process.env['HOME'],
    NODE_COMPILE_CACHE: COMPILE_CACHE,
  };
  return (await run('sh', ['-c', `${SCRIPTS[script]} --help`], { cwd: ROOT, env })).stdout;
}
