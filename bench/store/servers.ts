import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { keyOf, valueOf } from '../lib/data.ts';
import { startMemcached, startRedis } from '../lib/peers.ts';
import { isInstalled, type ServerProcess, temporaryDirectory } from '../lib/process.ts';
import { treeCpuMicros } from '../lib/usage.ts';
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
export class CacheServer {
  readonly protocol: Protocol;
  readonly pid: number;
  /** What was wrong with its answers. */
  readonly faults: string[] = [];
  private readonly process: ServerProcess;
  private readonly socket: Socket;

  private constructor(protocol: Protocol, process: ServerProcess, socket: Socket) {
    this.protocol = protocol;
    this.process = process;
    this.pid = process.pid;
    this.socket = socket;
  }

  static async start(name: ServerName): Promise<CacheServer> {
    const path = join(temporaryDirectory(name), 'socket');
    return new CacheServer(PROTOCOLS[name], await PROTOCOLS[name].start(path), connect(path));
  }

  /** Sends `count` requests in batches. Any answer that is not, byte for byte, the right one is a fault. */
  async ask(what: string, count: number, exchangeOf: (step: number) => Exchange): Promise<void> {
    for (let first = 0; first < count; first += BATCH) {
      const length = Math.min(BATCH, count - first);
      const exchanges = Array.from({ length }, (_, i) => exchangeOf(first + i));
      const expected = Buffer.from(exchanges.map((each) => each[1]).join(''), 'latin1');
      const received = this.receive(expected.length);
      this.socket.write(exchanges.map((each) => each[0]).join(''), 'latin1');
      const answer = await received;
      if (!answer.equals(expected) && this.faults.length < 5) this.faults.push(`a wrong answer to ${what}`);
    }
  }

  private receive(bytes: number): Promise<Buffer> {
    return new Promise((resolve) => {
      const chunks: Buffer[] = [];
      let missing = bytes;
      const finish = (): void => {
        clearTimeout(timer);
        this.socket.off('data', append);
        resolve(Buffer.concat(chunks));
      };
      const append = (chunk: Buffer): void => {
        chunks.push(chunk);
        missing -= chunk.length;
        if (missing <= 0) finish();
      };
      const timer = setTimeout(finish, ANSWER_TIMEOUT_MS);
      this.socket.on('data', append);
    });
  }

  async stop(): Promise<void> {
    this.socket.destroy();
    await this.process.stop();
  }
}

/**
 * The phases of `operations.ts`, asked of a server. It is measured by its own processor time, which includes reading a
 * request and writing an answer.
 */
export async function measureServer(name: ServerName, entries: number): Promise<OperationsResult> {
  const server = await CacheServer.start(name);
  const { protocol, faults, pid } = server;
  const nanos: OperationsResult['nanos'] = {};
  const phase = async (operation: Operation, exchangeOf: (index: number) => Exchange): Promise<void> => {
    const from = treeCpuMicros(pid);
    await server.ask(operation, entries, (step) => exchangeOf(ORDER[operation](step, entries)));
    nanos[operation] = ((treeCpuMicros(pid) - from) * 1_000) / entries;
  };
  try {
    await phase('put new', (i) => protocol.put(keyOf(i), valueOf(i)));
    await phase('get hit', (i) => protocol.get(keyOf(i), valueOf(i)));
    await phase('get miss', (i) => protocol.get(keyOf(i), undefined));
    await phase('put overwrite', (i) => protocol.put(keyOf(i), valueOf(i, 1)));
    await phase('delete', (i) => protocol.delete(keyOf(i)));
    return { nanos, faults };
  } finally {
    await server.stop();
  }
}
