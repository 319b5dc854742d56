import { describe, expect, test } from 'vitest';
import { settingsTable } from '../../src/config/settings.ts';
import { withGenerated } from './generated.ts';

const PAGE = [
  'before',
  '<!-- settings: x -->',
  'of yesterday',
  '<!-- end of settings -->',
  '<!-- figures: y -->',
  '<!-- end of figures -->',
  'after',
].join('\n');

const WORKLOADS = [
  'GET, hits, 100 bytes, 64 connections',
  'PUT, 100 bytes, 64 connections',
  'GET, 10 pipelined, 64 connections',
  'GET, 10 KB of JSON text, gzip, 64 connections',
];
const SERVERS = ['key-value-cache (1 shard)', 'bare Fastify', 'webdis + Redis', 'nginx + memcached'];

/** Fastify over lru-cache has no figure but the first. */
const HTTP = WORKLOADS.map((title, index) => {
  const rows = SERVERS.map((server) => `| ${server} | 2${index}047 | 1 % |`);
  if (index === 0) rows.push('| Fastify over lru-cache | 9,000 | 1 % |');
  return `## ${title}\n\n| server | requests/s | ± |\n| --- | ---: | ---: |\n${rows.join('\n')}\n`;
}).join('\n');

const MEMORY = `## Resident bytes per entry beyond key and value

|                     | entries | resident bytes per entry |             |
| ------------------- | ------: | -----------------------: | ----------- |
| segment store       | 1000000 |                     30.7 |             |
| lru-cache (maxSize) | 1000000 |                    144.7 | not counted |
| lru-cache (max)     | 1000000 |                    120.3 |             |
| Redis               | 1000000 |                     92.1 |             |
| memcached           | 1000000 |                     79.8 |             |
| segment store       | 5000000 |                      1.0 |             |
`;

describe('withGenerated', () => {
  const made = withGenerated(PAGE, { http: HTTP, memory: MEMORY });

  test('has a row for each setting, and keeps what is not its own', () => {
    expect(made).toMatch(/^before\n<!-- settings: x -->\n\n\| variable [^]*<!-- end of figures -->\nafter$/);
    expect(made).not.toContain('of yesterday');
    for (const { name } of settingsTable()) expect(made).toContain(`\n| \`${name}\` | `);
    // The same on every machine.
    expect(made).toContain('| `SHARDS` | processors ÷ 5 |');
  });

  test('has the figures of each server, and the better setting of each cache', () => {
    expect(made).toContain('| key-value-cache | 20,047 | 21,047 | 22,047 | 23,047 |');
    expect(made).toContain('| Fastify over lru-cache, one thread | 9,000 | – | – | – |');
    expect(made).toContain(
      'takes 31 bytes beyond its key and value; lru-cache takes 120, Redis 92, memcached 80.',
    );
  });

  test.each([
    ['no markers for settings', '', HTTP, MEMORY],
    ['no table "GET, hits', PAGE, '', MEMORY],
    ['no figures of webdis', PAGE, HTTP.replaceAll('webdis', 'other'), MEMORY],
    ['no number in the column requests/s', PAGE, HTTP.replaceAll('requests/s', 'rate'), MEMORY],
    ['no figures of Redis', PAGE, HTTP, MEMORY.replace('Redis', 'Valkey')],
  ])('fails with "%s"', (why, page, http, memory) => {
    expect(() => withGenerated(page, { http, memory })).toThrow(why);
  });
});
