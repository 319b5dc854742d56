import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The folders of the main thread, from the bottom up: each may import those before it. */
const LAYERS = [
  'src/shared',
  'src/config',
  'src/worker-threads',
  'src/shards',
  'src/snapshot',
  'src/memory',
  'src/metrics',
  'src/dashboard',
  'src/api',
  'src/http',
];

/** Every folder, and what it may import beside itself. Whatever is not listed is not allowed. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(LAYERS.map((layer, i) => [layer, LAYERS.slice(0, i)])),
  'src/http': [...LAYERS.slice(0, -1), 'src/http/fast', 'src/http/intake', 'src/http/routes'],
  'src/http/routes': [
    'src/api',
    'src/shards',
    'src/metrics',
    'src/dashboard',
    'src/http',
    'src/http/fast',
    'src/http/intake',
  ],
  // Measured shortcuts: each could be taken out again, and none knows of the rest.
  'src/http/fast': ['src/shared'],
  'src/http/intake': ['src/shared', 'src/api', 'src/metrics', 'src/http', 'src/http/fast'],
  // Runs elsewhere than the server: in services, and in browsers.
  'src/client': ['src/api'],
  'src/keyv': ['src/client'],
  // Makes the npm package; no part of the server.
  'src/package': ['package.json'],
  // One HTTP thread of several, and the main thread's side of it.
  'src/fronts': [...LAYERS, 'src/log-events.ts', 'package.json'],
  // Server and process entry: they put the parts together.
  src: [...LAYERS, 'src/fronts', 'src/process', 'package.json'],
  'src/process': [...LAYERS, 'src/listening.ts', 'src/log-events.ts', 'src/server.ts', 'package.json'],
  // No protocol and no doorbell: the store knows no messages.
  'workers/store': ['assert', 'free', 'key-hash', 'ledger', 'segment-sizes', 'snapshot-format'].map(
    (name) => `src/shared/${name}.ts`,
  ),
  'workers/reads': ['src/shared', 'workers/session.ts', 'workers/store/segment-store.ts'],
  'workers/snapshot': ['src/shared', 'workers/session.ts', 'workers/store/segment-store.ts'],
  workers: [
    'src/shared',
    'workers/reads/conditions.ts',
    'workers/reads/entity-tag.ts',
    'workers/reads/reads.ts',
    'workers/reads/reply-body.ts',
    'workers/snapshot/snapshots.ts',
    'workers/store/segment-store.ts',
    'workers/tier/open-tier.ts',
    'workers/tier/tier.ts',
  ],
  // Loaded only where there is an engine behind the shards.
  'workers/tier': [
    'src/shared',
    'workers/client-batches.ts',
    'workers/session.ts',
    'workers/reads/entity-tag.ts',
    'workers/reads/reads.ts',
    'workers/store/segment-store.ts',
  ],
};

/** Within `src/` itself, from the bottom up. */
const TOP_ORDER = [
  'log-events.ts',
  'stats-report.ts',
  'listening.ts',
  'reports.ts',
  'threads.ts',
  'server.ts',
  'main.ts',
];
const READERS_OF_THE_ENVIRONMENT = new Set(['src/process/launch.ts', 'src/main.ts']);

interface SourceFile {
  readonly path: string;
  readonly part: string;
  readonly text: string;
  /** Paths from the root, or names of packages. */
  readonly imports: readonly string[];
}

const FILES: readonly SourceFile[] = globSync('{src,workers}/**/*.{ts,cts}', { cwd: ROOT })
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
        expect(name, path).toMatch(/^(src\/|workers\/|node:|[@#]?[a-z]|package\.json$)/);
    }
    expect(FILES.find(({ path }) => path === 'src/main.ts')!.imports).toStrictEqual([
      'src/process/launch.ts',
      'src/process/stop-signals.ts',
      'src/process/run.ts',
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

function foldersImportedBy(root: string): Set<string> {
  const files = FILES.filter(({ part }) => part.startsWith(root));
  return new Set(files.flatMap(({ imports }) => imports.filter(isOwn).map((name) => dirname(name))));
}

function outside(folder: string): string[] {
  const files = FILES.filter(({ part }) => part === folder);
  return [...new Set(files.flatMap(({ imports }) => imports.filter((name) => !isOwn(name))))];
}

const packagesOf = (folder: string): string[] => outside(folder).filter((name) => !name.startsWith('node:'));
const nodeModulesOf = (folder: string): string[] =>
  outside(folder).filter((name) => name.startsWith('node:'));

describe('threads', () => {
  test('src names a worker only by URL, in one place', () => {
    const naming = FILES.filter(({ part, text }) => part.startsWith('src') && text.includes('workers/'));
    expect(naming.map(({ path }) => path)).toStrictEqual(['src/server.ts']);
    expect(naming[0].text).toContain('new URL(`../workers/shard-worker${EXTENSION}`, import.meta.url)');
  });

  test('the module of a further HTTP thread is named by URL only, in the same place', () => {
    const naming = FILES.filter(({ text }) => text.includes('front-thread'));
    expect(naming.map(({ path }) => path)).toStrictEqual(['src/server.ts']);
    expect(naming[0].text).toContain('new URL(`./fronts/front-thread${EXTENSION}`, import.meta.url)');
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

  test('what both threads share knows nothing outside itself but Node', () => {
    expect(packagesOf('src/shared')).toStrictEqual([]);
  });

  test('no other folder is imported by both threads', () => {
    const both = foldersImportedBy('src').intersection(foldersImportedBy('workers'));
    expect([...both]).toStrictEqual(['src/shared']);
  });

  test('the contract of the API imports nothing but zod: no Fastify, and no module of Node', () => {
    expect(packagesOf('src/api')).toStrictEqual(['zod']);
    expect(nodeModulesOf('src/api')).toStrictEqual([]);
  });

  test('only the configuration and what starts the process read the environment', () => {
    for (const { path, part, text } of FILES) {
      if (part === 'src/config' || READERS_OF_THE_ENVIRONMENT.has(path)) continue;
      expect(/process\s*\.\s*env|\benv\s*}\s*=\s*process|from 'node:process'/.test(text), path).toBe(false);
    }
  });
});
