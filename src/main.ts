import { setUpAllocator } from './launch.ts';

setUpAllocator();
const { run } = await import('./run.ts');
await run(process.argv.slice(2));
