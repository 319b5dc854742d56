import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { withGenerated } from './generated.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const README = `${ROOT}README.md`;

export function readPage(path: string): string {
  return readFileSync(`${ROOT}${path}`, 'utf8');
}

/** README as it is when its generated parts are up to date. */
export async function generatedReadme(): Promise<string> {
  const sources = { http: readPage('bench/results/http.md'), memory: readPage('bench/results/memory.md') };
  const page = withGenerated(readPage('README.md'), sources);
  return format(page, { ...(await resolveConfig(README)), parser: 'markdown' });
}
