import { expect, test } from 'vitest';
import { type BannerFacts, banner } from '../../src/process/banner.ts';

const FACTS: BannerFacts = {
  version: '1.2.3',
  address: 'http://127.0.0.1:7171',
  isOnAllInterfaces: false,
  hasToken: false,
  shards: 2,
  fronts: 1,
  memoryLimit: { limitBytes: 2 ** 29, source: 'MEMORY_LIMIT' },
  threshold: 0.7,
};

function linesOf(facts: Partial<BannerFacts>): string[] {
  return banner({ ...FACTS, ...facts })
    .split('\n')
    .map((line) => line.trim());
}

test('says that all interfaces are bound, beside a link that works here', () => {
  expect(linesOf({ isOnAllInterfaces: true })[3]).toMatch(
    /^http:\/\/127\.0\.0\.1:7171\/ +on all interfaces$/,
  );
  expect(linesOf({})[3]).toBe('http://127.0.0.1:7171/');
});

/** The paths of the links. */
function pathsOf(facts: Partial<BannerFacts>): string[] {
  const links = linesOf(facts).filter((line) => line.startsWith('http'));
  return links.map((line) => new URL(line.split(' ')[0]).pathname);
}

test('with a token, links to no path that a browser cannot open', () => {
  expect(pathsOf({ hasToken: false })).toStrictEqual(['/', '/dashboard', '/docs', '/stats']);
  expect(pathsOf({ hasToken: true })).toStrictEqual(['/', '/dashboard', '/docs']);
});

test('says how many HTTP threads there are, if there are several', () => {
  expect(linesOf({})).toContain('shards  2');
  expect(linesOf({ fronts: 4 })).toContain('shards  2, 4 HTTP threads');
});
