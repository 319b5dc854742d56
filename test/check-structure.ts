/**
 * Checks what `.oxlintrc.structure.json` limits: the lines of functions and files, and cycles of imports. In tests the
 * limit is for each `test`, not for the `describe` around them, which oxlint cannot tell apart. Checks as well that bounds
 * are named `MAX_…` and `MIN_…`.
 *
 *   npm run check:structure
 */
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const OXLINT = fileURLToPath(new URL('../node_modules/.bin/oxlint', import.meta.url));

interface Diagnostic {
  readonly message: string;
  readonly code: string;
  readonly filename: string;
  readonly labels: readonly { readonly span: { readonly line: number } }[];
}

function runOxlint(): readonly Diagnostic[] {
  const args = ['--config', '.oxlintrc.structure.json', '--format', 'json'];
  const { stdout, stderr } = spawnSync(OXLINT, args, { cwd: ROOT, encoding: 'utf8' });
  try {
    return (JSON.parse(stdout) as { diagnostics: Diagnostic[] }).diagnostics;
  } catch {
    throw new Error(`oxlint gave no report: ${stdout}${stderr}`);
  }
}

/** Whether the function that begins on this line is the body of a `describe`. The code is formatted by prettier. */
function isDescribe(filename: string, line: number): boolean {
  const lines = readFileSync(`${ROOT}/${filename}`, 'utf8').split('\n').slice(0, line);
  const indent = /^ */.exec(lines[line - 1])![0];
  // The line of `])('name', () => {` belongs to a statement that begins further up.
  const statement = lines.findLast(
    (text) => text.startsWith(indent) && /^\w/.test(text.slice(indent.length)),
  );
  return /^\s*describe\b/.test(statement ?? '');
}

/** `leastRecent` and `leastUseful` are no bounds. */
const OTHER_BOUND = /\b(?:MOST|LEAST)_\w+|\b(?:most|least)(?!Recent|Useful)[A-Z]\w*/g;

/** @returns one line for each name of a bound that begins with "most" or "least". */
function misnamedBounds(): string[] {
  return globSync('{src,workers}/**/*.{ts,cts,js}', { cwd: ROOT }).flatMap((file) =>
    readFileSync(`${ROOT}/${file}`, 'utf8')
      .split('\n')
      .flatMap((text, i) => text.match(OTHER_BOUND)?.map((name) => `${file}:${i + 1}: ${name}`) ?? [])
      .map((line) => `${line} is a bound: name it max or min`),
  );
}

const violations = runOxlint().filter(({ code, filename, labels }) => {
  const isFunction = code.includes('max-lines-per-function');
  return !(isFunction && filename.endsWith('.test.ts') && isDescribe(filename, labels[0].span.line));
});
for (const { message, filename, labels } of violations) {
  console.error(`${filename}:${labels[0].span.line}: ${message}`);
}
const misnamed = misnamedBounds();
for (const line of misnamed) console.error(line);
const count = violations.length + misnamed.length;
console.log(`structure: ${count} violations`);
process.exitCode = count > 0 ? 1 : 0;
