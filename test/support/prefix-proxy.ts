import { type Server, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';

/** A reverse proxy as they are in front of servers: it serves one under a path prefix, which it takes away. */
export class PrefixProxy {
  readonly origin: string;
  readonly prefix: string;

  private constructor(server: Server, prefix: string) {
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.prefix = prefix;
  }

  /** @param headers that it adds to each request. It ends with the test. */
  static async listening(
    port: number,
    prefix: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<PrefixProxy> {
    const server = createServer((incoming, outgoing) => {
      const url = incoming.url!;
      if (!url.startsWith(`${prefix}/`)) {
        outgoing.writeHead(404, { 'content-type': 'text/plain' }).end('not behind the prefix');
        return;
      }
      const forwarded = request(
        {
          host: '127.0.0.1',
          port,
          method: incoming.method,
          path: url.slice(prefix.length),
          headers: { ...incoming.headers, ...headers },
        },
        (answer) => {
          outgoing.writeHead(answer.statusCode!, answer.rawHeaders);
          answer.pipe(outgoing);
        },
      );
      forwarded.on('error', () => outgoing.destroy());
      incoming.pipe(forwarded);
    });
    onTestFinished(() => {
      server.close();
      server.closeAllConnections();
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return new PrefixProxy(server, prefix);
  }
}
