const MAX_REMEMBERED = 256;
/** No client has so much to say, and to work it out would take longer than all else that a request needs. */
const MAX_LENGTH = 1024;

/** What is worked out of a header field, remembered for the values that clients keep sending. */
export class HeaderMemo<Result> {
  private readonly workOut: (value: string) => Result;
  private readonly remembered = new Map<string, Result>();

  constructor(workOut: (value: string) => Result) {
    this.workOut = workOut;
  }

  /** @returns undefined for a value that is too long. */
  of(value: string): Result | undefined {
    const known = this.remembered.get(value);
    if (known !== undefined) return known;
    if (value.length > MAX_LENGTH) return undefined;
    const result = this.workOut(value);
    if (this.remembered.size >= MAX_REMEMBERED) this.remembered.clear();
    this.remembered.set(value, result);
    return result;
  }
}
