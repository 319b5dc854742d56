import { setUpMemory } from './launch.ts';

setUpMemory();
const { run } = await import('./run.ts');
await run(process.argv.slice(2));
