import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { readAccessFiles } from '../../src/config/access-files.ts';
import { type Settings, readSettings } from '../../src/config/settings.ts';
import type { LogSink } from '../../src/log-events.ts';
import { type RunningServer, startServer } from '../../src/server.ts';
import { HttpClient } from './http-client.ts';

export interface TestServer extends RunningServer, AsyncDisposable {
  readonly port: number;
  readonly client: HttpClient;
}

/** Settings as from an environment, for a server that bothers nobody. */
export function testSettings(env: Readonly<Record<string, string>> = {}): Settings {
  const read = readSettings({
    HOST: '127.0.0.1',
    PORT: '0',
    SHARDS: '2',
    FRONTS: '1',
    LOG_LEVEL: 'silent',
    ...env,
  });
  if (read.faults) throw new Error(read.faults.join('\n'));
  return read.settings;
}

/** The whole server in this process, on a port of its own. `await using` ends it with its shards. */
export async function startTestServer(
  env: Readonly<Record<string, string>> = {},
  workerUrl?: URL,
  logger: LogSink = pino({ level: 'silent' }),
): Promise<TestServer> {
  const settings = testSettings(env);
  const access = readAccessFiles(settings);
  if ('faults' in access) throw new Error(access.faults.join('\n'));
  const server = await startServer(settings, logger, access, workerUrl);
  const { port } = server.app.server.address() as AddressInfo;
  const client = new HttpClient(port);
  return {
    ...server,
    port,
    client,
    [Symbol.asyncDispose]: async () => {
      client.close();
      await server.close();
    },
  };
}
