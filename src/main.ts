import { compileFirst, requireNode, setUpMemory } from './process/launch.ts';
import { StopSignals } from './process/stop-signals.ts';

requireNode();
setUpMemory();
const signals = new StopSignals();
const { run } = await import('./process/run.ts');
const { loadAll } = await import('./server.ts');
await compileFirst(loadAll);
await run(process.argv.slice(2), process.env, signals);
