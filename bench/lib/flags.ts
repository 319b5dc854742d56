import { type ParseArgsConfig, parseArgs } from 'node:util';

type OptionsOf<T> = NonNullable<ParseArgsConfig['options']> & T;
type ValuesOf<T> = ReturnType<typeof parseArgs<{ options: OptionsOf<T> }>>['values'];

/**
 * Reads the flags of the command line. Prints the help and ends the process where it is asked for, and where
 * something is not understood.
 * @param interpret makes of their texts what they mean. Throws an Error that says what is wrong with one.
 */
export function readFlags<const T, R>(
  help: string,
  options: OptionsOf<T>,
  interpret: (values: ValuesOf<T>) => R,
): R {
  if (process.argv.includes('--help')) {
    process.stdout.write(help);
    process.exit(0);
  }
  try {
    return interpret(parseArgs({ options }).values);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${help}`);
    return process.exit(1);
  }
}

/** @throws Error where the option is not a whole number from 1 on. */
export function parseCount(option: string, text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new Error(`--${option}: a whole number from 1 on`);
  return count;
}
