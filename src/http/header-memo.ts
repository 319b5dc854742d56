const MOST_REMEMBERED = 256;
/** Longer values are worked out each time: together they would be megabytes. */
const LONGEST_REMEMBERED = 256;

/** What is worked out of a header field, remembered for the values that clients keep sending. */
export class HeaderMemo<Result> {
  private readonly workOut: (value: string) => Result;
  private readonly remembered = new Map<string, Result>();

  constructor(workOut: (value: string) => Result) {
    this.workOut = workOut;
  }

  of(value: string): Result {
    const known = this.remembered.get(value);
    if (known !== undefined) return known;
    const result = this.workOut(value);
    if (value.length <= LONGEST_REMEMBERED) {
      if (this.remembered.size >= MOST_REMEMBERED) this.remembered.clear();
      this.remembered.set(value, result);
    }
    return result;
  }
}
