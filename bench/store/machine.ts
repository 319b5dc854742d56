import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { ALLOCATOR_SETTING } from './child.ts';
import { onPath } from '../lib/process.ts';

/** What the figures depend on and a reader cannot see. */
export interface MachineFacts {
  readonly date: string;
  readonly processor: string;
  readonly processors: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  readonly peers: Record<string, string>;
  readonly allocator: string;
}

export function machineFacts(): MachineFacts {
  return {
    date: new Date().toISOString().slice(0, 16).replace('T', ' ') + ' UTC',
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    processors: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()} ${arch()}`,
    node: process.version,
    peers: { 'lru-cache': lruVersion(), ...versionOf('redis-server'), ...versionOf('memcached') },
    allocator: ALLOCATOR_SETTING,
  };
}

export function machineLines(facts: MachineFacts): string {
  const peers = Object.entries(facts.peers).map(([name, version]) => `${name} ${version}`);
  return [
    `- ${facts.date}; ${facts.processor}, ${facts.processors} processors, ${facts.memoryGiB} GiB; ${facts.system}`,
    `- Node ${facts.node}; ${peers.join(', ')}`,
    `- our store runs with \`${facts.allocator}\`, as the server does: without it glibc keeps freed blocks`,
  ].join('\n');
}

function lruVersion(): string {
  const manifest: { version?: string } = JSON.parse(
    readFileSync(new URL('../../node_modules/lru-cache/package.json', import.meta.url), 'utf8'),
  );
  return manifest.version ?? 'unknown';
}

function versionOf(command: string): Record<string, string> {
  if (!onPath(command)) return {};
  const text = execFileSync(command, ['--version'], { encoding: 'utf8' });
  return { [command]: /\d+\.\d+(?:\.\d+)?/.exec(text)?.[0] ?? 'unknown' };
}
