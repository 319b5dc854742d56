import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { Agent, request } from 'undici';
import { CacheClient } from '../../src/client/cache-client.ts';
import type { ClientName } from './plan.ts';

/** What a service asks of a cache, with whichever client. */
export interface MeasuredClient {
  /** @returns null or undefined where there is no entry. */
  readonly get: (key: string) => Promise<string | null | undefined>;
  readonly set: (key: string, value: string) => Promise<unknown>;
  readonly close: () => Promise<unknown> | void;
}

/** As many as a service would open to one host; autocannon's GETs in `bench` use 64 as well. */
const HTTP_CONNECTIONS = 64;

/** Each is given the port of our server, or of Redis. */
export const CONNECT: Readonly<
  Record<ClientName, (port: number) => MeasuredClient | Promise<MeasuredClient>>
> = {
  CacheClient: (port) => {
    const cache = new CacheClient(originOf(port));
    return {
      get: (key) => cache.get(key),
      set: (key, value) => cache.set(key, value),
      close: () => cache.close(),
    };
  },
  'undici.request': (port) => undiciClient(originOf(port)),
  fetch: (port) => fetchClient(originOf(port)),
  ioredis: (port) => {
    const redis = new Redis({ host: '127.0.0.1', port, enableAutoPipelining: true });
    return {
      get: (key) => redis.get(key),
      set: (key, value) => redis.set(key, value),
      close: () => redis.disconnect(),
    };
  },
  'node-redis': async (port) => {
    // It pipelines by itself.
    const redis = createClient({ socket: { host: '127.0.0.1', port } });
    await redis.connect();
    return {
      get: (key) => redis.get(key),
      set: (key, value) => redis.set(key, value),
      close: () => redis.destroy(),
    };
  },
};

function originOf(port: number): string {
  return `http://127.0.0.1:${port}`;
}

const TEXT = { 'content-type': 'text/plain' };

function undiciClient(origin: string): MeasuredClient {
  const dispatcher = new Agent({ connections: HTTP_CONNECTIONS });
  return {
    get: async (key) => {
      const { statusCode, body } = await request(`${origin}/kv/${key}`, { dispatcher });
      const text = await body.text();
      return statusCode === 200 ? text : undefined;
    },
    set: async (key, value) => {
      const reply = await request(`${origin}/kv/${key}`, {
        method: 'PUT',
        headers: TEXT,
        body: value,
        dispatcher,
      });
      await reply.body.dump();
      if (reply.statusCode >= 300) throw new Error(`PUT was answered with ${reply.statusCode}`);
    },
    close: () => dispatcher.destroy(),
  };
}

function fetchClient(origin: string): MeasuredClient {
  return {
    get: async (key) => {
      const response = await fetch(`${origin}/kv/${key}`);
      const text = await response.text();
      return response.ok ? text : undefined;
    },
    set: async (key, value) => {
      const response = await fetch(`${origin}/kv/${key}`, { method: 'PUT', headers: TEXT, body: value });
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`PUT was answered with ${response.status}`);
    },
    close: () => undefined,
  };
}
