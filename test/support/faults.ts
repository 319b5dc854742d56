/** What a faulty shard can be asked to do. `sleep`: it stands still without using a processor. */
export type Fault = 'exit' | 'throw' | 'heap' | 'loop' | 'sleep';
/** What it can do when it starts. `import`: it fails before it is given its task. */
export type StartFault = Fault | 'import';

/** A value that a shard takes as an order to fail. */
export function faultValue(fault: Fault): string {
  return `!fault:${fault}!`;
}

export const FAULT_VALUE = /!fault:([a-z]+)!/;
/** Names the folder of a faulty worker, whose environment is a copy of this process's when it starts. */
export const FOLDER_VARIABLE = 'KVC_FAULTS_FOLDER';
/** In the folder of a faulty worker: the faults of the next starts, and when there has been a start. */
export const PLAN_FILE = 'plan.json';
export const LOG_FILE = 'starts.log';
