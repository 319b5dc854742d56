import { parseCount, parseNames } from '../lib/flags.ts';
import { inRound } from '../lib/statistics.ts';
import { type Peer, PEERS } from './peers.ts';
import { type DataSetName, type Workload, WORKLOADS } from './workloads.ts';

// Rounds are short and many, since a shared machine is faster and slower by the second.
const FULL = { keyCount: 100_000, seconds: 1.2, settleSeconds: 0.3, warmUpSeconds: 2 };
const QUICK = { keyCount: 20_000, seconds: 0.45, settleSeconds: 0.1, warmUpSeconds: 0.6 };

/** What one run measures. */
export type Plan = Readonly<typeof FULL> & {
  readonly peers: readonly Peer[];
  readonly workloads: readonly Workload[];
  readonly rounds: number;
};

export const WORKLOAD_NAMES = WORKLOADS.map(({ name }) => name);
export const PEER_NAMES = PEERS.map(({ name }) => name);

/**
 * @returns `only`: names of peers, of workloads, or of both; empty for all.
 * @throws Error that says what is wrong with the command line.
 */
export function optionsOf(values: { quick: boolean; only: string; rounds?: string | undefined }) {
  const { quick, rounds = quick ? '3' : '8' } = values;
  const only = parseNames('only', values.only, [...PEER_NAMES, ...WORKLOAD_NAMES, 'shed', 'large-put']);
  return { quick, only, rounds: parseCount('rounds', rounds) };
}

export function planOf({ quick, only, rounds }: ReturnType<typeof optionsOf>): Plan {
  const onlyPeers = only.filter((name) => PEER_NAMES.includes(name));
  const onlyWorkloads = only.filter((name) => !onlyPeers.includes(name));
  const workloads = WORKLOADS.filter(({ name, isInQuickRun }) =>
    onlyWorkloads.length > 0 ? onlyWorkloads.includes(name) : !quick || isInQuickRun,
  );
  const peers = PEERS.filter(({ name }) => {
    const isWanted = onlyPeers.length === 0 || onlyPeers.includes(name);
    return isWanted && workloads.some((workload) => workload.peers.includes(name));
  });
  return { ...(quick ? QUICK : FULL), peers, workloads, rounds };
}

/** What a peer must hold for the workloads that it takes part in. */
export function dataSetsOf({ workloads }: Plan, peer: Peer): DataSetName[] {
  const sets = workloads.filter(({ peers }) => peers.includes(peer.name)).map(({ dataSet }) => dataSet);
  return [...new Set<DataSetName>(['small', ...sets])].filter((set) => set !== 'absent');
}

/**
 * The measurements in their order; round 0 is the warm-up, which does not count. Neighbours in time find the machine in the same mood, so servers take turns rather
 * than having their rounds in a row, and so do workloads. Where one workload is judged by another, each server has the
 * two in a row.
 */
export function stepsOf(plan: Plan, peers: readonly Peer[]) {
  const groups = [...Map.groupBy(plan.workloads, ({ name, judgedBy }) => judgedBy ?? name).values()];
  return Array.from({ length: plan.rounds + 1 }, (_, round) => {
    const seconds = round === 0 ? plan.warmUpSeconds : plan.seconds;
    return groups.flatMap((workloads) =>
      inRound(peers, round).flatMap((peer) => {
        const taken = workloads.filter((workload) => workload.peers.includes(peer.name));
        return inRound(taken, round).map((workload) => ({ workload, peer, round, seconds }));
      }),
    );
  }).flat();
}
