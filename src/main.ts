import { compileFirst, setUpMemory } from './launch.ts';

setUpMemory();
await compileFirst();
const { run } = await import('./run.ts');
await run(process.argv.slice(2));
