/** Which operation of a sequence took long, and how many ms. */
export type SlowStep = readonly [step: number, ms: number];

/** Operations so near to each other count as the same: what one of them has left undone, the next one does. */
export const SAME_PLACE_STEPS = 64;

/**
 * Of what took long in the first round, the longest that took as long at the same place in every other round: what
 * the code does, since a machine's pauses come elsewhere each time.
 *
 * @param rounds the same sequence of operations each.
 * @returns ms; 0 when nothing took long in all rounds.
 */
export function longestRecurring(rounds: readonly (readonly SlowStep[])[]): number {
  const [first, ...others] = rounds;
  const near = (steps: readonly SlowStep[], step: number): number =>
    Math.max(0, ...steps.filter(([at]) => Math.abs(at - step) <= SAME_PLACE_STEPS).map(([, ms]) => ms));
  return Math.max(0, ...first.map(([step, ms]) => Math.min(ms, ...others.map((steps) => near(steps, step)))));
}
