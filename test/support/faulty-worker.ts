import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { ShardActor } from '../../workers/shard-actor.ts';
import runShard from '../../workers/shard-worker.ts';
import { FAULT_VALUE, FOLDER_VARIABLE, type Fault, LOG_FILE, PLAN_FILE, type StartFault } from './faults.ts';

/**
 * The real shard, but that it fails on request: at once when a value names a fault, and at its start when the
 * plan in the folder that the environment names says so.
 */
const folder = process.env[FOLDER_VARIABLE]!;

/** Takes the first fault off the plan, and writes down when this start was. */
function nextStartFault(): StartFault | undefined {
  appendFileSync(`${folder}/${LOG_FILE}`, `${Date.now()}\n`);
  const path = `${folder}/${PLAN_FILE}`;
  if (!existsSync(path)) return undefined;
  const [fault, ...rest] = JSON.parse(readFileSync(path, 'utf8')) as StartFault[];
  writeFileSync(path, JSON.stringify(rest));
  return fault;
}

function fail(fault: Fault): void {
  switch (fault) {
    case 'exit':
      process.exit(3);
      break;
    case 'throw':
      throw new Error('a fault was asked for');
    case 'heap':
      eatHeap();
      break;
    case 'loop':
      for (;;);
    case 'sleep':
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      break;
  }
}

function eatHeap(): void {
  // Large pieces of no pointers: they fill it before much has to be collected.
  const kept: number[][] = [];
  for (let i = 0.5; ; i++) kept.push(Array(2 ** 17).fill(i) as number[]);
}

const startFault = nextStartFault();
if (startFault === 'import') throw new Error('a fault was asked for');

const handle = Reflect.get(ShardActor.prototype, 'handle');
ShardActor.prototype.handle = function faulty(this: ShardActor, session, message) {
  const fault = typeof message === 'string' ? FAULT_VALUE.exec(message)?.[1] : undefined;
  if (fault !== undefined) fail(fault as Fault);
  handle.call(this, session, message);
};

/** What the thread runs. */
export default function runFaultyShard(task: Parameters<typeof runShard>[0]): Promise<never> {
  if (startFault !== undefined && startFault !== 'import') fail(startFault);
  return runShard(task);
}
