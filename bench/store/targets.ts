import { markdownTable } from '../lib/table.ts';

/** What was promised, and what came out. */
export interface Target {
  readonly target: string;
  readonly measured: string;
  readonly isMet: boolean;
}

export function targetsTable(targets: readonly Target[]): string {
  return markdownTable(
    ['target', 'measured', 'result'],
    targets.map(({ target, measured, isMet }) => [target, measured, isMet ? 'met' : 'SHORT']),
  );
}
