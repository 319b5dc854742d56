import keyvTestSuite, { keyvIteratorTests } from '@keyv/test-suite';
import { Keyv } from 'keyv';
import * as vitest from 'vitest';
import { KeyvStore } from '../../src/keyv/keyv-store.ts';
import { ServedClient } from '../support/served-client.ts';

const served = new ServedClient();

const store = (): KeyvStore => new KeyvStore(served.cache);

// Keyv's own tests of a store, unchanged.
keyvTestSuite(vitest, Keyv, store);
keyvIteratorTests(vitest, Keyv, store);
