import { type ParseArgsConfig, parseArgs } from 'node:util';

type OptionsOf<T> = NonNullable<ParseArgsConfig['options']> & T;

/**
 * Reads the flags of the command line. Prints the help and ends the process where it is asked for, and where
 * something is not understood.
 */
export function readFlags<const T>(
  help: string,
  options: OptionsOf<T>,
): ReturnType<typeof parseArgs<{ options: OptionsOf<T> }>>['values'] {
  if (process.argv.includes('--help')) {
    process.stdout.write(help);
    process.exit(0);
  }
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return failUsage(help, error instanceof Error ? error.message : String(error));
  }
}

export function failUsage(help: string, message: string): never {
  process.stderr.write(`${message}\n\n${help}`);
  process.exit(1);
}
