import { formatBytes } from '../config/byte-size.ts';
import type { MemoryLimit } from '../memory/probe.ts';

export interface BannerFacts {
  readonly version: string;
  /** A URL at which this machine reaches it. */
  readonly address: string;
  readonly isOnAllInterfaces: boolean;
  readonly hasToken: boolean;
  readonly shards: number;
  /** HTTP threads. */
  readonly fronts: number;
  readonly memoryLimit: MemoryLimit;
  /** Share of the limit. */
  readonly threshold: number;
}

const ORIGINS: Readonly<Record<MemoryLimit['source'], string>> = {
  MEMORY_LIMIT: 'as MEMORY_LIMIT says',
  'cgroup v1': "the container's",
  'cgroup v2': "the container's",
  'cgroup v2 memory.high': "the container's",
  machine: "the machine's",
};

/** What people want to know first when they start the server in a terminal. */
export function banner(facts: BannerFacts): string {
  const { version, address, isOnAllInterfaces, hasToken, shards, fronts, memoryLimit, threshold } = facts;
  const { limitBytes, source, file } = memoryLimit;
  const origin = file === undefined ? ORIGINS[source] : `${ORIGINS[source]}: ${file}`;
  const over = Number((threshold * 100).toFixed(1));
  return [
    '',
    `  key-value-cache ${version}`,
    '',
    `  ${address}/${isOnAllInterfaces ? '            on all interfaces' : ''}`,
    `  ${address}/dashboard   watch what it holds and does`,
    `  ${address}/docs        read and try the API`,
    // A browser has no token to send; the pages ask for it.
    ...(hasToken ? [] : [`  ${address}/stats       the same in figures`]),
    '',
    `  shards  ${shards}${fronts > 1 ? `, ${fronts} HTTP threads` : ''}`,
    `  memory  ${formatBytes(limitBytes)}, ${origin}; over ${over} % the least recently used go`,
    '',
    '',
  ].join('\n');
}
