import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onPath, startProcess, type ServerProcess } from '../lib/process.ts';

/**
 * The caches that are processes of their own, spoken to over a unix socket in pipelined batches. What they
 * are measured by is their own processor time, so it includes reading a request and writing an answer.
 */
export type ServerName = 'Redis' | 'memcached';

export const SERVER_NAMES: readonly ServerName[] = ['Redis', 'memcached'];

/** The requests of a protocol, and the answers that are right. */
interface Dialect {
  readonly command: string;
  readonly args: (socket: string) => string[];
  put(key: string, value: string): [request: string, answer: string];
  get(key: string, value: string | undefined): [request: string, answer: string];
  delete(key: string, isThere: boolean): [request: string, answer: string];
  readonly ping: [request: string, answer: RegExp];
}

/** Far more than any benchmark puts: nothing may be displaced. */
const MEMCACHED_MEGABYTES = 16_384;

const DIALECTS: Record<ServerName, Dialect> = {
  Redis: {
    command: 'redis-server',
    args: (socket) => ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no'],
    put: (key, value) => [resp('SET', key, value), '+OK\r\n'],
    get: (key, value) => [resp('GET', key), value === undefined ? '$-1\r\n' : bulk(value)],
    delete: (key, isThere) => [resp('DEL', key), isThere ? ':1\r\n' : ':0\r\n'],
    ping: ['PING\r\n', /^\+PONG/],
  },
  memcached: {
    command: 'memcached',
    // One worker thread: the others would only wait, and one is what a shard has. Root needs to say so.
    args: (socket) => [
      '-s',
      socket,
      '-m',
      String(MEMCACHED_MEGABYTES),
      '-t',
      '1',
      ...(process.getuid?.() === 0 ? ['-u', 'root'] : []),
    ],
    put: (key, value) => [`set ${key} 0 0 ${value.length}\r\n${value}\r\n`, 'STORED\r\n'],
    get: (key, value) => [
      `get ${key}\r\n`,
      value === undefined ? 'END\r\n' : `VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`,
    ],
    delete: (key, isThere) => [`delete ${key}\r\n`, isThere ? 'DELETED\r\n' : 'NOT_FOUND\r\n'],
    ping: ['version\r\n', /^VERSION/],
  },
};

function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`;
}

function resp(...words: string[]): string {
  return `*${words.length}\r\n${words.map(bulk).join('')}`;
}

export function isInstalled(name: ServerName): boolean {
  return onPath(DIALECTS[name].command);
}

/** A running server and one connection to it. */
export class CacheServer {
  readonly dialect: Dialect;
  readonly process: ServerProcess;
  private readonly socket: Socket;
  private readonly directory: string;

  private constructor(dialect: Dialect, started: ServerProcess, socket: Socket, directory: string) {
    this.dialect = dialect;
    this.process = started;
    this.socket = socket;
    this.directory = directory;
  }

  static async start(name: ServerName): Promise<CacheServer> {
    const dialect = DIALECTS[name];
    const directory = await mkdtemp(join(tmpdir(), 'key-value-cache-bench-'));
    const path = join(directory, 'socket');
    const ready = async (): Promise<boolean> => {
      const socket = await open(path);
      const reply = await ask(socket, dialect.ping[0]);
      socket.destroy();
      return dialect.ping[1].test(reply);
    };
    try {
      const args = dialect.args(path);
      const started = await startProcess({ command: dialect.command, args, cwd: directory, ready });
      return new CacheServer(dialect, started, await open(path), directory);
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /**
   * Sends requests at once and waits for all answers.
   * @returns whether they are, byte for byte, the right ones.
   */
  async exchange(pairs: readonly (readonly [request: string, answer: string])[]): Promise<boolean> {
    const expected = Buffer.from(pairs.map((pair) => pair[1]).join(''), 'latin1');
    const received = receive(this.socket, expected.length);
    this.socket.write(pairs.map((pair) => pair[0]).join(''), 'latin1');
    return (await received).equals(expected);
  }

  /** The server's answer to one request that fits one packet. */
  ask(request: string): Promise<string> {
    return ask(this.socket, request);
  }

  async stop(): Promise<void> {
    this.socket.destroy();
    await this.process.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

function open(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket));
    socket.once('error', reject);
  });
}

function ask(socket: Socket, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('data', (chunk) => resolve(chunk.toString('latin1')));
    socket.once('error', reject);
    socket.write(request);
  });
}

/** Wrong answers may be shorter than the right ones: then no more comes, and the wait must end. */
const ANSWER_TIMEOUT_MS = 30_000;

function receive(socket: Socket, bytes: number): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let received = 0;
    const finish = (): void => {
      clearTimeout(timer);
      socket.off('data', append);
      resolve(Buffer.concat(chunks));
    };
    const append = (chunk: Buffer): void => {
      chunks.push(chunk);
      received += chunk.length;
      if (received >= bytes) finish();
    };
    const timer = setTimeout(finish, ANSWER_TIMEOUT_MS);
    socket.on('data', append);
  });
}
