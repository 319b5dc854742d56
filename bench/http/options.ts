import { parseArgs } from 'node:util';
import { parseCount } from '../lib/flags.ts';
import { ALL_PEERS } from './peers/all-peers.ts';
import { WORKLOADS } from './workloads.ts';

export interface Options {
  readonly quick: boolean;
  readonly only: readonly string[];
  readonly rounds: number;
  readonly out: string;
}

export const HELP = `HTTP benchmarks: our server beside others, on this machine.

  npm run bench -- [--quick] [--only NAME,…] [--rounds N] [--out DIRECTORY]

  --quick   about a minute: fewer workloads and servers, shorter rounds
  --only    only these servers and workloads; of our server alone, the basic workloads
  --rounds  measurements of each server and workload, of which the median counts (default 8, with --quick 3)
  --out     where the report is written (default bench/results, for a part of it bench/results/raw)

  servers:   ${ALL_PEERS.map((peer) => peer.name).join(', ')}
  workloads: ${[...WORKLOADS.map((workload) => workload.name), 'shed'].join(', ')}
`;

/** Reads the command line. @throws Error that says what is wrong with it. */
export function parseOptions(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string' },
      out: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const rounds = parseCount('rounds', values.rounds ?? (values.quick ? '3' : '8'));
  const only = values.only.flatMap((names) => names.split(',')).filter((name) => name !== '');
  const known = new Set(['shed', ...ALL_PEERS.map(({ name }) => name), ...WORKLOADS.map(({ name }) => name)]);
  const unknown = only.filter((name) => !known.has(name));
  if (unknown.length > 0) throw new Error(`--only: unknown ${unknown.join(', ')}`);
  // A part is not what is published.
  const isPart = values.quick || only.length > 0;
  const out = values.out ?? (isPart ? 'bench/results/raw' : 'bench/results');
  return { quick: values.quick, only, rounds, out };
}
