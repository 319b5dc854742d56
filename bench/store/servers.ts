import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { keyOf, valueOf } from '../lib/data.ts';
import { startMemcached, startRedis } from '../lib/peers.ts';
import { isInstalled, type ServerProcess, temporaryDirectory } from '../lib/process.ts';
import { serverCpuMicros } from '../lib/usage.ts';
import { type Operation, type OperationsResult, ORDER } from './operations.ts';

export type ServerName = 'Redis' | 'memcached';

type Exchange = readonly [request: string, rightAnswer: string];

interface Protocol {
  readonly command: string;
  readonly start: (socket: string) => Promise<ServerProcess>;
  readonly put: (key: string, value: string) => Exchange;
  readonly get: (key: string, value: string | undefined) => Exchange;
  readonly delete: (key: string) => Exchange;
}

/** Requests in one write, as a client that pipelines sends them: many share one system call. */
const BATCH = 500;
/** More than any benchmark puts: nothing may be evicted. */
const MEMCACHED_MEGABYTES = 16_384;
/** Wrong answers may be shorter than the right ones: then the wait for the rest must end. */
const ANSWER_TIMEOUT_MS = 30_000;

const PROTOCOLS: Record<ServerName, Protocol> = {
  Redis: {
    command: 'redis-server',
    start: startRedis,
    put: (key, value) => [resp('SET', key, value), '+OK\r\n'],
    get: (key, value) => [resp('GET', key), value === undefined ? '$-1\r\n' : bulk(value)],
    delete: (key) => [resp('DEL', key), ':1\r\n'],
  },
  memcached: {
    command: 'memcached',
    // One thread, as a shard has: the others would only wait.
    start: (socket) => startMemcached(socket, 1, MEMCACHED_MEGABYTES),
    put: (key, value) => [`set ${key} 0 0 ${value.length}\r\n${value}\r\n`, 'STORED\r\n'],
    get: (key, value) => [
      `get ${key}\r\n`,
      value === undefined ? 'END\r\n' : `VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`,
    ],
    delete: (key) => [`delete ${key}\r\n`, 'DELETED\r\n'],
  },
};

function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`;
}

function resp(...words: string[]): string {
  return `*${words.length}\r\n${words.map(bulk).join('')}`;
}

export function installedServers(): ServerName[] {
  return (['Redis', 'memcached'] as const).filter((name) => isInstalled(PROTOCOLS[name].command));
}

/** A cache that is a process of its own, with one connection over a Unix socket. */
export interface CacheServer {
  readonly protocol: Protocol;
  readonly pid: number;
  /** What was wrong with its answers. */
  readonly faults: string[];
  /** Sends `count` requests in batches. Any answer that is not, byte for byte, the right one is a fault. */
  readonly ask: (what: string, count: number, exchangeOf: (step: number) => Exchange) => Promise<void>;
}

/** Starts a cache, and stops it after `use`. */
export async function withServer<Result>(
  name: ServerName,
  use: (server: CacheServer) => Promise<Result>,
): Promise<Result> {
  const protocol = PROTOCOLS[name];
  const path = join(temporaryDirectory(name), 'socket');
  const { pid, stop } = await protocol.start(path);
  const socket = connect(path);
  const faults: string[] = [];
  const ask: CacheServer['ask'] = async (what, count, exchangeOf) => {
    for (let first = 0; first < count; first += BATCH) {
      const length = Math.min(BATCH, count - first);
      const exchanges = Array.from({ length }, (_, i) => exchangeOf(first + i));
      const expected = Buffer.from(exchanges.map((each) => each[1]).join(''), 'latin1');
      const received = receive(socket, expected.length);
      socket.write(exchanges.map((each) => each[0]).join(''), 'latin1');
      const answer = await received;
      if (!answer.equals(expected) && faults.length < 5) faults.push(`a wrong answer to ${what}`);
    }
  };
  try {
    return await use({ protocol, pid, faults, ask });
  } finally {
    socket.destroy();
    await stop();
  }
}

function receive(socket: Socket, bytes: number): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let missing = bytes;
    const finish = (): void => {
      clearTimeout(timer);
      socket.off('data', append);
      resolve(Buffer.concat(chunks));
    };
    const append = (chunk: Buffer): void => {
      chunks.push(chunk);
      missing -= chunk.length;
      if (missing <= 0) finish();
    };
    const timer = setTimeout(finish, ANSWER_TIMEOUT_MS);
    socket.on('data', append);
  });
}

/**
 * The phases of `operations.ts`, asked of a server. It is measured by its own processor time, which includes reading a
 * request and writing an answer.
 */
export function measureServer(name: ServerName, entries: number): Promise<OperationsResult> {
  return withServer(name, async ({ protocol, pid, faults, ask }) => {
    const nanos: OperationsResult['nanos'] = {};
    const exchanges: Partial<Record<Operation, (index: number) => Exchange>> = {
      'put new': (i) => protocol.put(keyOf(i), valueOf(i)),
      'get hit': (i) => protocol.get(keyOf(i), valueOf(i)),
      'get miss': (i) => protocol.get(keyOf(i), undefined),
      'put overwrite': (i) => protocol.put(keyOf(i), valueOf(i, 1)),
      delete: (i) => protocol.delete(keyOf(i)),
    };
    for (const [operation, exchangeOf] of Object.entries(exchanges) as [
      Operation,
      (i: number) => Exchange,
    ][]) {
      const from = serverCpuMicros(pid);
      await ask(operation, entries, (step) => exchangeOf(ORDER[operation](step, entries)));
      nanos[operation] = ((serverCpuMicros(pid) - from) * 1_000) / entries;
    }
    return { nanos, faults };
  });
}
