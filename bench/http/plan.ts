import type { DataSetName } from './data.ts';
import { ALL_PEERS, missingFor } from './peers/all-peers.ts';
import type { Peer } from './peers/peer.ts';
import type { Options } from './options.ts';
import { BASIC_WORKLOADS, type Workload, WORKLOADS } from './workloads.ts';

/** What one run of the suite measures. */
export interface Plan {
  readonly peers: readonly Peer[];
  readonly workloads: readonly Workload[];
  readonly keyCount: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly settleSeconds: number;
  readonly warmUpSeconds: number;
  readonly withShedding: boolean;
}

/** Servers the quick run leaves out. */
const LEFT_OUT_OF_QUICK = new Set(['kvc-2', 'node-http', 'fastapi']);

// Rounds are short and many: what a shared machine is capable of changes by the second.
const FULL = { keyCount: 100_000, seconds: 1.2, settleSeconds: 0.3, warmUpSeconds: 2 };
const QUICK = { keyCount: 20_000, seconds: 0.45, settleSeconds: 0.1, warmUpSeconds: 0.6 };

/** Pure, but for asking which commands are installed. `only` names peers, workloads or both. */
export function planOf(options: Options, report: (line: string) => void): Plan {
  const onlyPeers = options.only.filter((name) => ALL_PEERS.some((peer) => peer.name === name));
  const onlyWorkloads = options.only.filter((name) => !onlyPeers.includes(name));
  const onlyOurs = onlyPeers.length > 0 && onlyPeers.every((name) => name.startsWith('kvc'));
  const isWanted = (workload: Workload): boolean => {
    if (onlyWorkloads.length > 0) return onlyWorkloads.includes(workload.name);
    if (onlyOurs) return BASIC_WORKLOADS.includes(workload.name);
    return !options.quick || workload.isInQuickRun;
  };
  const workloads = WORKLOADS.filter(isWanted);
  const peers = ALL_PEERS.filter((peer) => {
    if (onlyPeers.length > 0 && !onlyPeers.includes(peer.name)) return false;
    if (onlyPeers.length === 0 && options.quick && LEFT_OUT_OF_QUICK.has(peer.name)) return false;
    if (!workloads.some((workload) => workload.peers.includes(peer.name))) return false;
    const missing = missingFor(peer);
    if (missing.length > 0) report(`${peer.label}: left out, not installed: ${missing.join(', ')}`);
    return missing.length === 0;
  });
  const withShedding =
    onlyWorkloads.includes('shed') || (options.only.length === 0 && !options.quick && peers.length > 0);
  return { ...(options.quick ? QUICK : FULL), peers, workloads, rounds: options.rounds, withShedding };
}

/** What a peer must hold for the workloads it takes part in. */
export function dataSetsOf(plan: Plan, peer: Peer): DataSetName[] {
  const sets = plan.workloads
    .filter((workload) => workload.peers.includes(peer.name))
    .map((workload) => workload.dataSet);
  return [...new Set<DataSetName>(['small', ...sets])].filter((set) => set !== 'absent');
}
