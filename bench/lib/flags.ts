import { type ParseArgsConfig, parseArgs } from 'node:util';

type OptionsOf<T> = NonNullable<ParseArgsConfig['options']> & T;
type ValuesOf<T> = ReturnType<typeof parseArgs<{ options: OptionsOf<T> }>>['values'];

interface Command<T, R> {
  readonly help: string;
  readonly options: OptionsOf<T>;
  readonly allowPositionals?: boolean;
  /** Turns the texts into what they mean. Throws an Error that says what is wrong with one of them. */
  readonly interpret: (values: ValuesOf<T>, positionals: readonly string[]) => R;
}

/** Reads the command line. Prints the help and ends the process if it is asked for, or if something is wrong. */
export function readFlags<const T, R>(command: Command<T, R>): R {
  const { help, options, allowPositionals = false, interpret } = command;
  if (process.argv.includes('--help')) {
    process.stdout.write(help);
    process.exit(0);
  }
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals });
    return interpret(values, positionals);
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
