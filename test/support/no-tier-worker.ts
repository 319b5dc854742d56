import { registerHooks } from 'node:module';
import type runShard from '../../workers/shard-worker.ts';

/** The real shard on a thread that cannot load anything of the tier. */
registerHooks({
  resolve: (specifier, context, next) => {
    const resolved = next(specifier, context);
    if (/\/workers\/tier\/|\/@redis\//.test(resolved.url)) throw new Error(`${specifier} is loaded`);
    return resolved;
  },
});
const { default: run } = await import('../../workers/shard-worker.ts');

/** What the thread runs. */
export default function runWithoutTier(task: Parameters<typeof runShard>[0]): Promise<never> {
  return run(task);
}
