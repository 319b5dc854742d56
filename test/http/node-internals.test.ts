import { execFileSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { type Server as HttpServer, type ServerOptions, createServer } from 'node:http';
import { type AddressInfo, Server as NetServer, Socket, createServer as createNetServer } from 'node:net';
import { constants } from 'node:perf_hooks';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { DirectRequest } from '../../src/http/fast/direct-request.ts';
import {
  type Internal,
  checkInternals,
  collectMinor,
  readThroughStream,
  unsentBytes,
  works,
} from '../../src/http/fast/node-internals.ts';
import { free } from '../../src/shared/free.ts';
import { RawSocket } from '../support/raw-socket.ts';

type MakeServer = (options: ServerOptions) => HttpServer;

const { NODE_PERFORMANCE_GC_FLAGS_FORCED: FORCED } = constants;
const INTERNALS = Object.keys(works) as Internal[];

/** What the check finds to be different. */
async function changesWith(makeServer?: MakeServer): Promise<string[]> {
  const changes: string[] = [];
  await checkInternals((internal) => changes.push(internal), makeServer);
  return changes;
}

afterEach(() => checkInternals(() => undefined));

/** A Node that behaves in another way, by internal. */
const CHANGED: Readonly<Record<string, MakeServer>> = {
  directBodies: () => createServer(),
  stopParsing: (options) =>
    createServer(options).on('connection', ({ parser }: Socket & { parser: { onIncoming: unknown } }) => {
      const { onIncoming } = parser;
      Object.defineProperty(parser, 'onIncoming', {
        configurable: true,
        get: () => onIncoming,
        // Node sets it back to null, and uses the parser again.
        set: (value) => {
          if (value === null) Object.defineProperty(parser, 'onIncoming', { value, writable: true });
        },
      });
    }),
  waitingTurn: (options) =>
    createServer(options, (_request, response) => {
      Object.defineProperty(response, 'socket', { value: response.req.socket, writable: true });
    }),
  gatheredWrites: (options) =>
    createServer(options, (_request, response) => {
      const end = response.end.bind(response);
      Object.assign(response, { end: (text = '') => end(Buffer.from(text)) });
    }),
  halfOpen: (options) =>
    Object.defineProperty(createServer(options), 'httpAllowHalfOpen', { value: false, writable: false }),
};

describe('the check', () => {
  test.each(INTERNALS)('finds that this Node still has %s', async (internal) => {
    expect(await changesWith()).not.toContain(internal);
    expect(works[internal]).toBe(true);
  });

  test.each(Object.keys(CHANGED))('says once that %s is gone, and leaves it out', async (name) => {
    const internal = name as Internal;
    const others = internal === 'waitingTurn' ? ['gatheredWrites'] : [];
    expect(await changesWith(CHANGED[internal])).toStrictEqual([internal, ...others]);
    expect(works[internal]).toBe(false);
  });

  test('says that closing a server closes idle connections, too', async () => {
    const close = vi.spyOn(NetServer.prototype, 'close').mockImplementation(function (this: NetServer) {
      (this as HttpServer).closeIdleConnections();
      return this;
    });
    onTestFinished(() => close.mockRestore());
    expect(await changesWith()).toStrictEqual(['plainClose']);
  });

  test('says that minor collections are no more', async () => {
    vi.stubGlobal('gc', () => {
      throw new TypeError('unknown option');
    });
    onTestFinished(() => void vi.unstubAllGlobals());
    expect(await changesWith()).toStrictEqual(['minorCollection']);
    expect(collectMinor).not.toThrow();
  });

  test('says at the first connection that its queue cannot be read', async () => {
    const changes: string[] = [];
    await checkInternals((internal) => changes.push(internal));
    const socket = Object.assign(new Socket(), { _handle: {} });
    expect([unsentBytes(socket), unsentBytes(socket)]).toStrictEqual([0, 0]);
    expect(changes).toStrictEqual(['writeQueue']);
  });
});

test('without direct bodies they come through the stream', async () => {
  await changesWith(CHANGED['directBodies']);
  const raw = await RawSocket.openTo(
    createServer({ IncomingMessage: DirectRequest }, (request, response) => {
      const pieces: string[] = [];
      request.takeBody({
        add: (chunk) => void pieces.push(chunk.toString('latin1')),
        end: () => response.end(`${pieces.join('')}, ${request.readableFlowing}`),
      });
    }),
  );
  raw.write('PUT / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nbody');
  await raw.until(/body, true/);
});

test('what the system has not taken is counted', async () => {
  const server = createNetServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = new Socket().connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [socket]: Socket[] = await once(server, 'connection');
  onTestFinished(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  client.pause();
  socket.write(Buffer.alloc(2 ** 26));
  expect(unsentBytes(socket)).toBeGreaterThan(0);
  expect(unsentBytes(socket)).toBeLessThanOrEqual(2 ** 26);
});

// What it is for is in `tls.test.ts`: without it bodies are lost while answers are not taken.
test('every TLS connection has a listener for data', () => {
  const server = new EventEmitter() as unknown as HttpServer;
  readThroughStream(server);
  const socket = new EventEmitter();
  server.emit('secureConnection', socket);
  expect(socket.listenerCount('data')).toBe(1);
});

/** In a process of its own: V8 makes a major collection of it where one is due. */
test.each([
  ['collectMinor', constants.NODE_PERFORMANCE_GC_MINOR],
  ['collectAll', constants.NODE_PERFORMANCE_GC_MAJOR],
])('%s makes a collection of its kind', (name, expected) => {
  const module = new URL('../../src/http/fast/node-internals.ts', import.meta.url).href;
  const code = `
    import { PerformanceObserver } from 'node:perf_hooks';
    import { ${name} } from '${module}';
    const observer = new PerformanceObserver((list) => {
      console.log(list.getEntries().find(({ detail }) => detail.flags === ${FORCED}).detail.kind);
      clearInterval(alive);
    });
    observer.observe({ entryTypes: ['gc'] });
    const alive = setInterval(() => undefined, 1000);
    ${name}();`;
  const args = ['--expose-gc', '--input-type=module', '--eval', code];
  const kind = Number(execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000 }));
  expect(kind).toBe(expected);
});

test('what is freed is gone at once', () => {
  const bytes = 2 ** 26;
  const buffer = new ArrayBuffer(bytes);
  new Uint8Array(buffer).fill(1);
  const before = process.memoryUsage();
  free(buffer);
  const after = process.memoryUsage();
  expect(buffer.detached).toBe(true);
  expect(before.arrayBuffers - after.arrayBuffers).toBeGreaterThan(bytes * 0.9);
  expect(before.rss - after.rss).toBeGreaterThan(bytes * 0.9);
});
