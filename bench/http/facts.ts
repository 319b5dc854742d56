import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import type { Peer } from './peers/peer.ts';

/** What one must know of a machine to compare its figures with another's. */
export interface Facts {
  readonly date: string;
  readonly processor: string;
  readonly processors: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  /** The last minute's, before anything was measured: above 0, others were using the machine. */
  readonly loadAverage: number;
  readonly commit: string;
  readonly versions: Readonly<Record<string, string>>;
}

export function machineFacts(peers: readonly Peer[]): Facts {
  return {
    date: new Date().toISOString(),
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    processors: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    node: process.version,
    loadAverage: Math.round(loadavg()[0] * 100) / 100,
    commit: output('git', ['describe', '--always', '--dirty']),
    versions: {
      autocannon: packageVersion('autocannon'),
      fastify: packageVersion('fastify'),
      'lru-cache': packageVersion('lru-cache'),
      ...(peers.some(({ name }) => name === 'webdis') && {
        redis: figure(output('redis-server', ['--version'])),
        webdis: debianVersion('webdis'),
      }),
      ...(peers.some(({ name }) => name === 'nginx-memcached') && {
        nginx: debianVersion('nginx'),
        memcached: figure(output('memcached', ['--version'])),
      }),
      ...(peers.some(({ name }) => name === 'fastapi') && {
        fastapi: debianVersion('python3-fastapi'),
        gunicorn: debianVersion('gunicorn'),
        uvicorn: debianVersion('python3-uvicorn'),
        // Taken by uvicorn when they are there; without them it is about half as fast.
        uvloop: debianVersion('python3-uvloop'),
        httptools: debianVersion('python3-httptools'),
      }),
    },
  };
}

function packageVersion(name: string): string {
  const url = new URL(`../../node_modules/${name}/package.json`, import.meta.url);
  const manifest: unknown = JSON.parse(readFileSync(url, 'utf8'));
  const version: unknown =
    typeof manifest === 'object' && manifest !== null && Reflect.get(manifest, 'version');
  return String(version);
}

/** Not every server tells its version without also starting. */
function debianVersion(name: string): string {
  return output('dpkg-query', ['--showformat=${Version}', '--show', name]) || 'absent';
}

function figure(text: string): string {
  return /\d+(?:\.\d+)+/.exec(text)?.[0] ?? text;
}

function output(command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'unknown';
  }
}
