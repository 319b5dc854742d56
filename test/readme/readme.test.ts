import { execFile } from 'node:child_process';
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { ChildServer } from '../support/child-server.ts';
import { makeFolder } from '../support/folder.ts';
import { helpOf } from '../support/script-help.ts';
import { type Command, commandsOf, isAsShown } from './commands.ts';
import { ROOT, generatedReadme, readPage } from './page.ts';

const MAX_LINES = 180;
const README = readPage('README.md');
const COMMANDS = commandsOf(README);
/** Pages whose npm scripts are looked at as well. */
const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  'bench/README.md',
  'docs/api.md',
  'docs/dashboard.md',
  'docs/operations/README.md',
  'docs/performance.md',
];
const SCRIPTS: Readonly<Record<string, string>> = packageJson.scripts;
const ENVIRONMENT = { PATH: process.env['PATH'], HOME: process.env['HOME'] };
const run = promisify(execFile);

/** What is done with a command: tried as it is, or looked at, since it lasts or changes the machine. */
const RULES: Readonly<Record<string, RegExp>> = {
  curl: /^curl /,
  quick: /^npm start -- --(?:help|version|check-config)$/,
  server: /^(?:npm start|node src\/main\.ts)$/,
  script: /^npm (?:run \S+|test)\b/,
  install: /^npm ci$/,
  // Tried in test/package.
  pack: /^npm pack$/,
  docker: /^docker (?:build|run) /,
};

function ruled(rule: keyof typeof RULES): Command[] {
  return COMMANDS.filter(({ text }) => RULES[rule].test(text));
}

/** @returns what it printed to standard output. */
async function inShell(command: string, cwd: string): Promise<string> {
  const { stdout } = await run('sh', ['-c', command], { cwd, env: ENVIRONMENT });
  return stdout;
}

/** The same command for a server on that port. A refused request ends curl with an exit code. */
function forPort(command: string, port: number): string {
  return command
    .replace(/^curl /, 'curl --silent --show-error --fail-with-body ')
    .replaceAll(/\blocalhost:7171\b/g, `127.0.0.1:${port}`);
}

describe('the commands of README', () => {
  test('all fall under a rule', () => {
    const unruled = COMMANDS.filter(({ text }) => !Object.values(RULES).some((rule) => rule.test(text)));
    expect(unruled).toStrictEqual([]);
    for (const rule of Object.keys(RULES)) expect(ruled(rule), rule).not.toHaveLength(0);
  });

  test('with curl all succeed, one after the other, and print what is shown', async () => {
    const { port } = await ChildServer.listening({ env: { SHARDS: '1' } });
    const folder = makeFolder();
    symlinkSync(join(ROOT, 'docs'), join(folder, 'docs'));
    for (const { text, shown } of ruled('curl')) {
      expect(text).toContain('localhost:7171');
      const printed = await inShell(forPort(text, port), folder);
      if (shown !== undefined) expect(isAsShown(shown, printed), `${text}\n${printed}`).toBe(true);
    }
    const image = readFileSync(join(ROOT, 'docs/images/dashboard-dark.webp'));
    expect(readFileSync(join(folder, 'copy.webp'))).toStrictEqual(image);
  });

  test('that end at once do so with exit code 0', async () => {
    for (const { text, shown } of ruled('quick')) {
      const printed = await inShell(text.replace('npm start', 'npm start --silent'), ROOT);
      expect(printed, text).not.toBe('');
      if (shown !== undefined) expect(isAsShown(shown, printed), `${text}\n${printed}`).toBe(true);
    }
  });

  test('that start the server are those that are tested elsewhere', () => {
    expect(SCRIPTS['start']).toBe('exec node src/main.ts');
    expect(existsSync(`${ROOT}src/main.ts`)).toBe(true);
  });

  test('with docker build from here, and run what was built on a port that it exposes', () => {
    const [[build], [, options, image]] = [/^docker build -t (\S+) \.$/, /^docker run (.+) (\S+)$/].map(
      (form) =>
        ruled('docker')
          .map(({ text }) => form.exec(text)!)
          .find((match) => match !== null)!,
    );
    expect(build.split(' ')[3]).toBe(image);
    const [, published] = /^-p \d+:(\d+) --memory \d+[mg]$/.exec(options)!;
    expect(readPage('Dockerfile')).toContain(`\nEXPOSE ${published}\n`);
  });
});

describe.each(PAGES)('%s', (page) => {
  const commands = commandsOf(readPage(page)).filter(({ text }) => RULES['script'].test(text));

  test('names npm scripts that exist, with flags that their help names', async () => {
    for (const { text } of commands) {
      const [, script] = /^npm (?:run )?(\S+)/.exec(text)!;
      expect(SCRIPTS, text).toHaveProperty([script]);
      const flags = text.match(/ --[a-z][a-z-]*/g) ?? [];
      if (flags.length === 0) continue;
      const help = await helpOf(script);
      for (const flag of flags) expect(help, text).toContain(flag);
    }
  });
});

describe('README', () => {
  test('has the settings and figures of today: `npm run docs:generate` makes them', async () => {
    expect(README).toBe(await generatedReadme());
  });

  test(`has at most ${MAX_LINES} lines`, () => {
    expect(README.trimEnd().split('\n').length).toBeLessThanOrEqual(MAX_LINES);
  });
});
