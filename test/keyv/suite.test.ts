import keyvTestSuite, { keyvIteratorTests } from '@keyv/test-suite';
import { Keyv } from 'keyv';
import * as vitest from 'vitest';
import { afterAll, beforeAll } from 'vitest';
import { CacheClient } from '../../src/client/cache-client.ts';
import { KeyvStore } from '../../src/keyv/keyv-store.ts';
import { type TestServer, startTestServer } from '../support/server.ts';

let server: TestServer;
let cache: CacheClient;

beforeAll(async () => {
  server = await startTestServer({ SHARDS: '2' });
  cache = new CacheClient(`http://127.0.0.1:${server.port}`);
});

afterAll(async () => {
  await cache.close();
  await server[Symbol.asyncDispose]();
});

const store = (): KeyvStore => new KeyvStore(cache);

// Keyv's own tests of a store, unchanged.
keyvTestSuite(vitest, Keyv, store);
keyvIteratorTests(vitest, Keyv, store);
