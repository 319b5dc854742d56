import { compileFirst, setUpMemory } from './launch.ts';

setUpMemory();
const { run } = await import('./run.ts');
const { loadAll } = await import('./server.ts');
await compileFirst(loadAll);
await run(process.argv.slice(2));
