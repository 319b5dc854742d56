import { afterAll, beforeAll } from 'vitest';
import { CacheClient } from '../../src/client/cache-client.ts';
import { type TestServer, startTestServer } from './server.ts';

/** A server with two shards, and a client of it, for all tests of a file. */
export class ServedClient {
  private server: TestServer | undefined;
  private client: CacheClient | undefined;

  constructor() {
    beforeAll(async () => {
      this.server = await startTestServer({ SHARDS: '2' });
      this.client = new CacheClient(`http://127.0.0.1:${this.server.port}`);
    });
    afterAll(async () => {
      await this.client?.close();
      await this.server?.[Symbol.asyncDispose]();
    });
  }

  get port(): number {
    return this.server!.port;
  }

  get cache(): CacheClient {
    return this.client!;
  }
}
