import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import clientsJson from '../clients/package.json' with { type: 'json' };
import generatorsJson from '../generators/package.json' with { type: 'json' };
import keyvJson from '../keyv/package.json' with { type: 'json' };
import nodesJson from '../nodes/package.json' with { type: 'json' };

type Versions = Readonly<Record<string, string>>;

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly dependencies?: Versions;
  readonly devDependencies?: Versions;
}

function textOf(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
}

/** Names in the first column of a table in CONTRIBUTING, by the title of that column; the second says why. */
function documented(title: string): string[] {
  const [, ...rows] = textOf('CONTRIBUTING.md')
    .split('\n\n')
    .find((part) => part.startsWith(`| ${title} `))!
    .trim()
    .split('\n')
    .filter((row) => !row.startsWith('| -'));
  return rows.flatMap((row) => {
    const [, names, why] = row.split('|');
    expect(why.trim(), row).not.toBe('');
    return [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => name);
  });
}

function expectPinned(name: string, spec: string, locked: Locked | undefined): void {
  // `npm:keyv@6.1.0` is another name for a package.
  const version = spec.replace(/^npm:.+@/, '');
  expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
  expect(locked?.version, name).toBe(version);
  expect(locked?.integrity, name).toMatch(/^sha512-/);
}

describe('dependencies', () => {
  test.each([
    ['production', packageJson.dependencies],
    [
      'development',
      {
        ...packageJson.devDependencies,
        ...generatorsJson.devDependencies,
        ...clientsJson.devDependencies,
        ...keyvJson.devDependencies,
        ...nodesJson.devDependencies,
      },
    ],
  ])('for %s are all named in CONTRIBUTING with why they are there, and no others', (title, versions) => {
    expect(documented(title).toSorted()).toStrictEqual(Object.keys(versions).toSorted());
  });

  test('are pinned, and the lockfile says the same', () => {
    const { packages } = JSON.parse(textOf('package-lock.json')) as { packages: Record<string, Locked> };
    const { dependencies, devDependencies } = packageJson;
    expect(packages['']).toMatchObject({ dependencies, devDependencies });
    expect(packages[''].dependencies).toStrictEqual(dependencies);
    expect(packages[''].devDependencies).toStrictEqual(devDependencies);
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      expectPinned(name, version, packages[`node_modules/${name}`]);
    }
    for (const [workspace, { devDependencies: versions }] of [
      ['test/generators', generatorsJson],
      ['test/clients', clientsJson],
      ['test/keyv', keyvJson],
    ] as const) {
      expect(packages[workspace].devDependencies).toStrictEqual(versions);
      for (const [name, version] of Object.entries(versions)) {
        const path = `node_modules/${name}`;
        expectPinned(name, version, packages[`${workspace}/${path}`] ?? packages[path]);
      }
    }
  });

  test('that are no workspace have a lockfile of their own, which says the same', () => {
    const { packages } = JSON.parse(textOf('test/nodes/package-lock.json')) as {
      packages: Record<string, Locked>;
    };
    expect(packages[''].devDependencies).toStrictEqual(nodesJson.devDependencies);
    for (const [name, version] of Object.entries(nodesJson.devDependencies)) {
      expectPinned(name, version, packages[`node_modules/${name}`]);
    }
  });

  test('are locked without an address to load them from', () => {
    for (const path of ['package-lock.json', 'test/nodes/package-lock.json']) {
      expect(textOf(path)).not.toMatch(/"resolved": "[a-z]+:/);
    }
  });
});
