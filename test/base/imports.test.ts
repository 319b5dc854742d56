import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The parts, and which others each may import. Whatever is not listed is not allowed. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'src/base': [],
  'src/config': ['src/base'],
  'src/mailbox': ['src/base', 'src/config'],
  'src/router': ['src/base', 'src/config', 'src/mailbox'],
  'src/supervisor': ['src/base', 'src/config', 'src/mailbox', 'src/router'],
  'src/http': ['src/base', 'src/config', 'src/mailbox', 'src/router', 'src/supervisor', 'src/http/intake'],
  'src/http/intake': ['src/base', 'src/http'],
  // Server and process entry: they put the parts together.
  src: ['src/base', 'src/config', 'src/mailbox', 'src/router', 'src/supervisor', 'src/http', 'package.json'],
  'workers/store': ['src/base'],
  workers: [
    'src/base',
    'src/mailbox/protocol.ts',
    'src/mailbox/doorbell.ts',
    'workers/store/segment-store.ts',
  ],
};

/** Within `src/` itself, from the bottom up. */
const TOP_ORDER = [
  'launch.ts',
  'stop-signals.ts',
  'stats-report.ts',
  'listening.ts',
  'server.ts',
  'run.ts',
  'main.ts',
];
const READERS_OF_THE_ENVIRONMENT = new Set(['src/launch.ts', 'src/run.ts']);

interface SourceFile {
  readonly path: string;
  readonly part: string;
  readonly text: string;
  /** Paths from the root, or names of packages. */
  readonly imports: readonly string[];
}

const FILES: readonly SourceFile[] = globSync('{src,workers}/**/*.ts', { cwd: ROOT })
  .toSorted()
  .map((path) => {
    const text = withoutComments(readFileSync(join(ROOT, path), 'utf8'));
    return { path, part: dirname(path), text, imports: importsOf(path, text) };
  });

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, '');
}

function importsOf(path: string, text: string): string[] {
  const statements = text.matchAll(/\b(?:from|import)\s*\(?\s*'([^']+)'/g);
  return [...statements].map(([, name]) =>
    name.startsWith('.') ? relative(ROOT, resolve(ROOT, dirname(path), name)) : name,
  );
}

function isOwn(name: string): boolean {
  return name.startsWith('src/') || name.startsWith('workers/') || name === 'package.json';
}

describe('imports', () => {
  test('are all seen, and every folder has its rule', () => {
    expect(FILES.length).toBeGreaterThan(30);
    for (const { path, part, imports } of FILES) {
      expect(Object.keys(MAY_IMPORT), path).toContain(part);
      for (const name of imports)
        expect(name, path).toMatch(/^(src\/|workers\/|node:|@?[a-z]|package\.json$)/);
    }
    expect(FILES.find(({ path }) => path === 'src/main.ts')!.imports).toStrictEqual([
      'src/launch.ts',
      'src/stop-signals.ts',
      'src/run.ts',
      'src/server.ts',
    ]);
  });

  test.each(FILES)('$path keeps to what its part may know', ({ part, imports }) => {
    const allowed = MAY_IMPORT[part];
    const wrong = imports.filter((name) => {
      if (!isOwn(name) || dirname(name) === part) return false;
      return !allowed.some((one) => name === one || name.startsWith(`${one}/`));
    });
    expect(wrong).toStrictEqual([]);
  });

  test('within src, from the report up to main', () => {
    const top = FILES.filter(({ part }) => part === 'src');
    expect(top.map(({ path }) => path.slice(4)).toSorted()).toStrictEqual(TOP_ORDER.toSorted());
    for (const { path, imports } of top) {
      for (const name of imports.filter((one) => dirname(one) === 'src')) {
        expect(TOP_ORDER.indexOf(name.slice(4)), `${path} → ${name}`).toBeLessThan(
          TOP_ORDER.indexOf(path.slice(4)),
        );
      }
    }
  });

  test('have no circles', () => {
    const byPath = new Map(FILES.map((file) => [file.path, file]));
    const done = new Set<string>();
    function visit(path: string, above: readonly string[]): void {
      expect(above, [...above, path].join(' → ')).not.toContain(path);
      if (done.has(path)) return;
      for (const name of byPath.get(path)?.imports ?? []) if (isOwn(name)) visit(name, [...above, path]);
      done.add(path);
    }
    for (const { path } of FILES) visit(path, []);
  });
});

describe('threads', () => {
  test('src names a worker only by URL, in one place', () => {
    const naming = FILES.filter(({ part, text }) => part.startsWith('src') && text.includes('workers/'));
    expect(naming.map(({ path }) => path)).toStrictEqual(['src/server.ts']);
    expect(naming[0].text).toContain("new URL('../workers/shard-worker.ts', import.meta.url)");
  });

  test('the store knows no messages, no threads and no packages', () => {
    for (const { path, part, imports } of FILES) {
      if (part !== 'workers/store') continue;
      expect(
        imports.filter((name) => !isOwn(name) && name !== 'node:assert'),
        path,
      ).toStrictEqual([]);
    }
  });

  test('base knows nothing outside itself', () => {
    for (const { path, part, imports } of FILES) {
      if (part === 'src/base')
        expect(
          imports.filter((name) => dirname(name) !== part),
          path,
        ).toStrictEqual([]);
    }
  });

  test('only the configuration and what starts the process read the environment', () => {
    for (const { path, part, text } of FILES) {
      if (part === 'src/config' || READERS_OF_THE_ENVIRONMENT.has(path)) continue;
      expect(/process\s*\.\s*env|\benv\s*}\s*=\s*process|from 'node:process'/.test(text), path).toBe(false);
    }
  });
});
