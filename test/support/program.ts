import { spawnSync } from 'node:child_process';

/** Where a program of the system is; empty where there is none, which is said once. */
export function programPath(name: string, what: string): string {
  const path = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
  if (path === '') console.log(`there is no ${name}: ${what}`);
  return path;
}
