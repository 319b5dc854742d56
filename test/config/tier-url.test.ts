import { describe, expect, test } from 'vitest';
import { readSettings, publicSettings } from '../../src/config/settings.ts';
import { parseTierUrl } from '../../src/config/tier-url.ts';

const PLAIN = { isTls: false, username: '', password: '', database: 0 };
const node = (host: string, port = 6379): object => ({ host, port });

describe('parseTierUrl', () => {
  test.each<[string, object | undefined]>([
    ['', undefined],
    ['redis://cache', { ...PLAIN, nodes: [node('cache')] }],
    ['redis://127.0.0.1:7000/', { ...PLAIN, nodes: [node('127.0.0.1', 7000)] }],
    ['redis://[::1]:7000/3', { ...PLAIN, nodes: [node('::1', 7000)], database: 3 }],
    ['redis://a,b:7001,c', { ...PLAIN, nodes: [node('a'), node('b', 7001), node('c')] }],
    ['redis://a,redis://b', { ...PLAIN, nodes: [node('a'), node('b')] }],
    [
      'rediss://us%40er:p%2Fss@a:1,rediss://us%40er:p%2Fss@b',
      { nodes: [node('a', 1), node('b')], isTls: true, username: 'us@er', password: 'p/ss', database: 0 },
    ],
    ['redis://:secret@a', { ...PLAIN, nodes: [node('a')], password: 'secret' }],
  ])('%s', (text, expected) => {
    expect(parseTierUrl(text)).toEqual(expected);
  });

  test.each([
    'http://a',
    'cache:6379',
    'redis://',
    'redis://a:port',
    'redis://a:70000',
    'redis://a/db',
    'redis://a?db=1',
    'redis://a#b',
    'redis://a,',
    'redis://a,rediss://b',
    'redis://u:p@a,redis://u:q@b',
    'redis://%zz@a',
  ])('%s is refused', (text) => {
    expect(parseTierUrl(text)).toBeNull();
    expect(readSettings({ TIER_URL: text }).faults).toHaveLength(1);
  });
});

test('TIER_URL may hold a password, and is never shown', () => {
  const { settings } = readSettings({ TIER_URL: 'redis://:hidden@a' });
  expect(JSON.stringify(publicSettings(settings!))).not.toContain('hidden');
  expect(readSettings({ TIER_URL: 'http://:hidden@a' }).faults![0]).not.toContain('hidden');
});
