/**
 * Reads the command line. Prints the help and ends the process if it is asked for, or if something is wrong.
 * @param read turns the arguments into what they mean. Throws an Error that says what is wrong with one of them.
 */
export function readFlags<Flags>(help: string, read: () => Flags): Flags {
  if (process.argv.includes('--help')) {
    process.stdout.write(help);
    process.exit(0);
  }
  try {
    return read();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${help}`);
    return process.exit(1);
  }
}

/** @throws Error unless the text is a whole number from 1 on. */
export function parseCount(option: string, text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new Error(`--${option}: a whole number from 1 on`);
  return count;
}

/** Splits "a,b" into names. @throws Error if one of them is not known. */
export function parseNames(option: string, text: string, known: readonly string[]): string[] {
  const names = text.split(',').filter((name) => name !== '');
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`--${option}: unknown ${unknown.join(', ')}`);
  return names;
}
