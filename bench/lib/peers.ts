/** Starts the servers that are measured: this project's, small ones on Node, and the installed caches. */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  freePort,
  type ServerProcess,
  type StartOptions,
  startProcess,
  temporaryDirectory,
} from './process.ts';

const HOST = '127.0.0.1';
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Two of each kind of worker, as their own defaults would choose on a machine of two processors. */
const WORKERS = 2;
const NGINX_MODULE = '/usr/lib/nginx/modules/ngx_http_memc_module.so';

/** A running HTTP server, which may be several processes. */
export interface HttpServer {
  readonly port: number;
  /** The first is the one whose main thread runs the event loop. */
  readonly pids: readonly number[];
  readonly stop: () => Promise<void>;
}

/** This project's server, from this checkout or from another one. */
export async function startOurs(
  shards: number,
  settings: Readonly<Record<string, string>> = {},
  root = ROOT,
): Promise<HttpServer> {
  const port = await freePort();
  const env = { HOST, PORT: `${port}`, SHARDS: `${shards}`, NODE_ENV: 'production', ...settings };
  return startHttp(port, '/ready', { command: process.execPath, args: ['src/main.ts'], cwd: root, env });
}

/** A server of one file in `bench/http/servers`. */
export async function startScript(
  file: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<HttpServer> {
  const port = await freePort();
  const args = [join(ROOT, 'bench/http/servers', file)];
  const env = { PORT: `${port}`, NODE_ENV: 'production', ...settings };
  return startHttp(port, '/cache/probe', { command: process.execPath, args, env });
}

/** @param port where it listens beside its Unix socket; 0 for nowhere. */
export function startRedis(socket: string, port = 0): Promise<ServerProcess> {
  const listen = ['--unixsocket', socket, '--bind', HOST, '--port', `${port}`];
  return startProcess({
    command: 'redis-server',
    args: [...listen, '--save', '', '--appendonly', 'no', '--dir', dirname(socket)],
    ready: () => isListening(socket),
  });
}

/** @param megabytes more than is put: nothing may be evicted. */
export function startMemcached(socket: string, threads: number, megabytes: number): Promise<ServerProcess> {
  // It refuses to run as root unless it is asked to.
  const user = process.getuid?.() === 0 ? ['-u', 'root'] : [];
  return startProcess({
    command: 'memcached',
    args: ['-s', socket, '-m', `${megabytes}`, '-t', `${threads}`, ...user],
    ready: () => isListening(socket),
  });
}

/** Redis behind an HTTP front. @param enginePort of a Redis that runs; without it, one of its own is started. */
export async function startWebdis(enginePort?: number): Promise<HttpServer> {
  const [port, redisPort] = [await freePort(), enginePort ?? (await freePort())];
  const directory = temporaryDirectory('webdis');
  const config = {
    redis_host: HOST,
    redis_port: redisPort,
    http_host: HOST,
    http_port: port,
    threads: WORKERS,
    http_max_request_size: 2 * 2 ** 20,
    daemonize: false,
    verbosity: 0,
    logfile: join(directory, 'webdis.log'),
  };
  await writeFile(join(directory, 'webdis.json'), JSON.stringify(config));
  const redis = enginePort === undefined ? [await startRedis(join(directory, 'redis'), redisPort)] : [];
  return startHttp(port, '/PING', { command: 'webdis', args: ['webdis.json'], cwd: directory }, ...redis);
}

/** memcached behind nginx, which speaks its protocol with a module. */
export async function startNginxMemcached(): Promise<HttpServer> {
  const port = await freePort();
  const directory = temporaryDirectory('nginx');
  const [config, socket] = [join(directory, 'nginx.conf'), join(directory, 'memcached')];
  await writeFile(config, nginxConfig(port, socket, directory));
  const memcached = await startMemcached(socket, WORKERS, 1024);
  const args = ['-p', directory, '-c', config, '-e', join(directory, 'error.log')];
  return startHttp(port, '/cache/probe', { command: 'nginx', args }, memcached);
}

/** `user` counts only if root starts it: another one could not reach the socket. */
function nginxConfig(port: number, socket: string, directory: string): string {
  return `
load_module ${NGINX_MODULE};
user root;
daemon off;
worker_processes ${WORKERS};
pid ${join(directory, 'nginx.pid')};
events { worker_connections 2048; }
http {
  access_log off;
  default_type text/plain;
  client_max_body_size 2m;
  client_body_buffer_size 256k;
  client_body_temp_path ${join(directory, 'bodies')};
  keepalive_requests 1000000000;
  gzip on;
  gzip_comp_level 6;
  gzip_types text/plain;
  gzip_min_length 1024;
  upstream memcached {
    server unix:${socket};
    keepalive 256;
    keepalive_requests 1000000000;
  }
  server {
    listen ${HOST}:${port} backlog=1024;
    location ~ ^/cache/(.+)$ {
      set $memc_key $1;
      memc_buffer_size 256k;
      memc_pass memcached;
    }
  }
}
`;
}

/** Starts an HTTP server, and waits until it answers at `path`: whatever it answers, unless something is wrong. */
async function startHttp(
  port: number,
  path: string,
  options: Omit<StartOptions, 'ready'>,
  ...behind: readonly ServerProcess[]
): Promise<HttpServer> {
  const ready = async (): Promise<boolean> => {
    const response = await fetch(`http://${HOST}:${port}${path}`, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.status < 500;
  };
  const processes = [await startProcess({ ...options, ready }), ...behind];
  return {
    port,
    pids: processes.map(({ pid }) => pid),
    stop: async () => void (await Promise.all(processes.map((each) => each.stop()))),
  };
}

async function isListening(path: string): Promise<boolean> {
  const socket = connect(path);
  await once(socket, 'connect');
  socket.destroy();
  return true;
}
