import { randomBytes } from 'node:crypto';
import { Agent, request } from 'node:http';

export interface PutterOptions {
  readonly port: number;
  readonly connections: number;
  readonly valueBytes: number;
  readonly totalBytes: number;
}

export interface PutterReport {
  readonly statuses: Readonly<Record<string, number>>;
  readonly tookMs: number;
}

/** PUTs raw values, as fast as they are taken, in a process of its own: so it holds nobody up who measures. */
async function main({ port, connections, valueBytes, totalBytes }: PutterOptions): Promise<PutterReport> {
  const agent = new Agent({ keepAlive: true });
  const value = randomBytes(valueBytes);
  const statuses: Record<string, number> = {};
  const count = (what: string): void => {
    statuses[what] = (statuses[what] ?? 0) + 1;
  };
  let left = Math.ceil(totalBytes / valueBytes);
  const startedMs = performance.now();
  const lane = async (): Promise<void> => {
    while (left-- > 0) count(await put(agent, port, `/kv/value-${valueBytes}-${left}`, value));
  };
  await Promise.all(Array.from({ length: connections }, lane));
  agent.destroy();
  return { statuses, tookMs: performance.now() - startedMs };
}

/** @returns the status, and the error's code if there is one. */
function put(agent: Agent, port: number, path: string, value: Buffer): Promise<string> {
  return new Promise((resolve) => {
    const headers = { 'content-length': value.length };
    const sent = request({ host: '127.0.0.1', port, method: 'PUT', path, agent, headers }, (response) => {
      let text = '';
      response.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
      response.once('end', () =>
        resolve([response.statusCode, /CACHE_ERR_\w+/.exec(text)?.[0]].join(' ').trim()),
      );
    });
    sent.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    sent.end(value);
  });
}

process.send!(await main(JSON.parse(process.argv[2]) as PutterOptions));
