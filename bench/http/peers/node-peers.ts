import { fileURLToPath } from 'node:url';
import { freePort, startProcess } from '../../lib/process.ts';
import { answers, type Peer } from './peer.ts';

const HOST = '127.0.0.1';
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

interface CacheOptions {
  readonly name: string;
  readonly label: string;
  readonly shards: number;
  /** The checkout to run; this one unless told. */
  readonly root?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** This project's server. */
export function keyValueCache({ name, label, shards, root = ROOT, env = {} }: CacheOptions): Peer {
  return {
    name,
    label,
    dialect: 'cache',
    isConstant: false,
    isAlternative: false,
    needs: [],
    async start() {
      const port = await freePort();
      const server = await startProcess({
        command: process.execPath,
        args: ['src/main.ts'],
        cwd: root,
        env: { HOST, PORT: String(port), SHARDS: String(shards), NODE_ENV: 'production', ...env },
        ready: () => answers(`http://${HOST}:${port}/ready`, 200),
      });
      return { port, pids: [server.pid], stop: () => server.stop(), outputTail: () => server.stderrTail() };
    },
  };
}

/** A server of one file in `servers/`. */
function script(
  options: Pick<Peer, 'name' | 'label' | 'isConstant'> & { file: string; args?: string[] },
): Peer {
  const { name, label, isConstant, file, args = [] } = options;
  return {
    name,
    label,
    dialect: 'cache',
    isConstant,
    isAlternative: false,
    needs: [],
    async start() {
      const port = await freePort();
      const server = await startProcess({
        command: process.execPath,
        args: [fileURLToPath(new URL(`../servers/${file}`, import.meta.url)), ...args],
        env: { PORT: String(port), NODE_ENV: 'production' },
        ready: () => answers(`http://${HOST}:${port}/cache/probe`),
      });
      return { port, pids: [server.pid], stop: () => server.stop(), outputTail: () => server.stderrTail() };
    },
  };
}

export const BARE_NODE_HTTP = script({
  name: 'node-http',
  label: 'bare node:http',
  isConstant: true,
  file: 'bare-node-http.ts',
});

export const BARE_FASTIFY = script({
  name: 'fastify',
  label: 'bare Fastify',
  isConstant: true,
  file: 'bare-fastify.ts',
});

export const FASTIFY_LRU = script({
  name: 'fastify-lru',
  label: 'Fastify over lru-cache',
  isConstant: false,
  file: 'fastify-lru.ts',
});

export const FASTIFY_LRU_COMPRESS = script({
  name: 'fastify-lru-compress',
  label: 'Fastify over lru-cache, compress',
  isConstant: false,
  file: 'fastify-lru.ts',
  args: ['--compress'],
});
