/** A line on standard error: the report alone goes to standard output. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** One measurement of a run that consists of several. @returns what to say about it. */
export type Step = () => Promise<string>;

/** Says after each step how far the run is. The time left is a guess, since some steps take longer than others. */
export async function runSteps(steps: readonly Step[]): Promise<void> {
  const startedMs = performance.now();
  for (const [index, run] of steps.entries()) {
    const text = await run();
    const minutesPerStep = (performance.now() - startedMs) / 60_000 / (index + 1);
    const minutesLeft = minutesPerStep * (steps.length - index - 1);
    say(`[${index + 1}/${steps.length}, about ${minutesLeft.toFixed(1)} min left] ${text}`);
  }
}

/** All steps once, then all of them again. */
export function inRounds(rounds: number, steps: readonly Step[]): Step[] {
  return Array.from({ length: rounds }, () => steps).flat();
}
