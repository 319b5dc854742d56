import { parentPort, workerData } from 'node:worker_threads';
import { Ledger } from '../../src/shared/ledger.ts';
import { Random } from './random.ts';

/** What a thread is to do: reserve and release at random for one shard, as fast as it can. */
export interface LedgerRun {
  readonly ledger: SharedArrayBuffer;
  /** What each of two shards was granted, written only after the grant; the third cell is the starting line. */
  readonly held: SharedArrayBuffer;
  readonly shard: number;
  readonly seed: number;
  readonly rounds: number;
}

export interface LedgerTally {
  readonly granted: number;
  readonly refused: number;
  /** The most that both shards were seen to hold at once. */
  readonly mostTogether: number;
}

const run = workerData as LedgerRun;
const ledger = new Ledger(run.ledger, 1);
const held = new Int32Array(run.held);
const random = new Random(run.seed);

Atomics.add(held, 2, 1);
while (Atomics.load(held, 2) < 2);

let own = 0;
let granted = 0;
let refused = 0;
let mostTogether = 0;
for (let round = 0; round < run.rounds; round++) {
  const amount = random.whole(1, 8);
  if (random.chance(0.6)) {
    if (ledger.tryReserve(run.shard, amount)) {
      granted++;
      own += amount;
      Atomics.store(held, run.shard, own);
      mostTogether = Math.max(mostTogether, own + Atomics.load(held, 1 - run.shard));
    } else {
      refused++;
    }
  } else if (own > 0) {
    const given = Math.min(amount, own);
    own -= given;
    Atomics.store(held, run.shard, own);
    ledger.release(run.shard, given);
  }
}
Atomics.store(held, run.shard, 0);
ledger.release(run.shard, own);

const tally: LedgerTally = { granted, refused, mostTogether };
parentPort!.postMessage(tally);
