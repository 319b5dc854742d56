import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, type ServerProcess, startProcess } from '../../lib/process.ts';
import { answers, type Peer, type RunningPeer } from './peer.ts';

const HOST = '127.0.0.1';
/** Two of each kind of worker, as their own defaults would choose on a machine of two processors. */
const WORKERS = 2;
const NGINX_MODULE = '/usr/lib/nginx/modules/ngx_http_memc_module.so';
/** Not any `python3`: the one that has Debian's packages. */
const PYTHON = '/usr/bin/python3';

const ALTERNATIVE = { isConstant: false, isAlternative: true } as const;

/** Redis behind an HTTP front. */
export const WEBDIS: Peer = {
  ...ALTERNATIVE,
  name: 'webdis',
  label: 'webdis + Redis',
  dialect: 'webdis',
  needs: ['webdis', 'redis-server'],
  async start({ directory }) {
    const [port, redisPort] = [await freePort(), await freePort()];
    const args = ['--port', String(redisPort), '--bind', HOST, '--save', '', '--appendonly', 'no'];
    const redis = await startProcess({
      command: 'redis-server',
      args: [...args, '--dir', directory],
      ready: () => isListening(redisPort),
    });
    const config = join(directory, 'webdis.json');
    await writeFile(
      config,
      JSON.stringify({
        redis_host: HOST,
        redis_port: redisPort,
        http_host: HOST,
        http_port: port,
        threads: WORKERS,
        http_max_request_size: 2 * 1024 * 1024,
        daemonize: false,
        verbosity: 0,
        logfile: join(directory, 'webdis.log'),
      }),
    );
    const webdis = await startBeside([redis], () =>
      startProcess({
        command: 'webdis',
        args: [config],
        cwd: directory,
        ready: () => answers(`http://${HOST}:${port}/PING`, 200),
      }),
    );
    return together(port, [webdis, redis]);
  },
};

/** memcached behind nginx, which speaks its protocol with a module. */
export const NGINX_MEMCACHED: Peer = {
  ...ALTERNATIVE,
  name: 'nginx-memcached',
  label: 'nginx + memcached',
  dialect: 'memcached',
  needs: ['nginx', 'memcached', NGINX_MODULE],
  async start({ directory }) {
    const [port, memcachedPort] = [await freePort(), await freePort()];
    // As root it insists on a user to become; anyone else may not change.
    const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
    const memcached = await startProcess({
      command: 'memcached',
      args: [
        '-l',
        HOST,
        '-p',
        String(memcachedPort),
        '-U',
        '0',
        '-m',
        '1024',
        '-t',
        String(WORKERS),
        ...user,
      ],
      ready: () => isListening(memcachedPort),
    });
    const config = join(directory, 'nginx.conf');
    await writeFile(config, nginxConfig(port, memcachedPort, directory));
    const nginx = await startBeside([memcached], () =>
      startProcess({
        command: 'nginx',
        args: ['-p', directory, '-c', config, '-e', join(directory, 'error.log')],
        ready: () => answers(`http://${HOST}:${port}/cache/probe`, 404),
      }),
    );
    return together(port, [nginx, memcached]);
  },
};

/** The same API as a Python application, as it is usually deployed. */
export const FASTAPI: Peer = {
  ...ALTERNATIVE,
  name: 'fastapi',
  label: 'FastAPI, gunicorn, 2 workers',
  dialect: 'cache',
  needs: [PYTHON, '/usr/bin/gunicorn'],
  async start() {
    const port = await freePort();
    const gunicornOptions = [
      `--workers=${WORKERS}`,
      '--worker-class=uvicorn.workers.UvicornWorker',
      `--bind=${HOST}:${port}`,
      '--log-level=warning',
    ];
    const server = await startProcess({
      command: PYTHON,
      args: ['-m', 'gunicorn', ...gunicornOptions, 'fastapi_app:app'],
      cwd: fileURLToPath(new URL('../servers', import.meta.url)),
      env: { PYTHONDONTWRITEBYTECODE: '1' },
      ready: () => answers(`http://${HOST}:${port}/cache/probe`, 404),
      readyTimeoutMs: 30_000,
    });
    return { port, pids: [server.pid], stop: () => server.stop(), outputTail: () => server.stderrTail() };
  },
};

function nginxConfig(port: number, memcachedPort: number, directory: string): string {
  return `
load_module ${NGINX_MODULE};
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
    server ${HOST}:${memcachedPort};
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

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, HOST);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Starts one more; when it fails, those beside it are stopped too. */
async function startBeside(
  others: readonly ServerProcess[],
  start: () => Promise<ServerProcess>,
): Promise<ServerProcess> {
  try {
    return await start();
  } catch (error) {
    await Promise.all(others.map((other) => other.stop()));
    throw error;
  }
}

function together(port: number, processes: readonly ServerProcess[]): RunningPeer {
  return {
    port,
    pids: processes.map(({ pid }) => pid),
    stop: async () => {
      await Promise.all(processes.map((each) => each.stop()));
    },
    outputTail: () => processes.map((each) => each.stderrTail()).join(''),
  };
}
