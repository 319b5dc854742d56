import { compileFirst, setUpMemory } from './launch.ts';
import { StopSignals } from './stop-signals.ts';

setUpMemory();
const signals = new StopSignals();
const { run } = await import('./run.ts');
const { loadAll } = await import('./server.ts');
await compileFirst(loadAll);
await run(process.argv.slice(2), signals);
