const BAR_CELLS = 24;
const { stderr } = process;

/** Says on standard error how far a run is: a bar on a terminal, a line per step elsewhere. */
export class Progress {
  private readonly steps: number;
  private readonly startedMs = performance.now();
  private done = 0;

  constructor(steps: number) {
    this.steps = steps;
  }

  /** One more step is done. The time left is a guess, since some steps take longer than others. */
  step(text: string): void {
    this.done++;
    const share = this.done / this.steps;
    const minutesLeft = ((performance.now() - this.startedMs) / 60_000) * (1 / share - 1);
    const position = `${this.done}/${this.steps}, about ${minutesLeft.toFixed(1)} min left`;
    if (!stderr.isTTY) {
      stderr.write(`[${position}] ${text}\n`);
      return;
    }
    const full = Math.round(share * BAR_CELLS);
    const line = `${'█'.repeat(full).padEnd(BAR_CELLS, '░')} ${position} | ${text}`;
    stderr.write(`\r\u001B[2K${line.slice(0, stderr.columns - 1)}${share === 1 ? '\n' : ''}`);
  }
}

/** A line that stays. */
export function say(text: string): void {
  stderr.write(`${stderr.isTTY ? '\r\u001B[2K' : ''}${text}\n`);
}

/** One measurement of a run that consists of several. */
export interface Step {
  readonly label: string;
  readonly run: () => Promise<unknown>;
}

export async function runSteps(steps: readonly Step[]): Promise<void> {
  const progress = new Progress(steps.length);
  for (const { label, run } of steps) {
    await run();
    progress.step(label);
  }
}
