import runShard from '../../workers/shard-worker.ts';
import { KeyLines } from '../../workers/tier/key-lines.ts';

/** The real shard, but that an answer under way leaves a copy whatever has been announced meanwhile. */
KeyLines.prototype.forbidCopy = function forbidNothing(): void {
  // A history must find this.
};

/** What the thread runs. */
export default function runCanaryShard(task: Parameters<typeof runShard>[0]): Promise<never> {
  return runShard(task);
}
