import { isSetting } from '../config/settings.ts';

const FLAGS = {
  '--help': 'prints the settings and these flags',
  '--version': 'prints the version',
  '--check-config': 'prints the settings in force, and what is wrong with them; starts nothing',
} as const;

export type Flag = keyof typeof FLAGS;

/** @returns the flag that was given, if any, or one line per fault. */
export function readCommandLine(
  args: readonly string[],
): { readonly flag: Flag | undefined } | { readonly faults: readonly string[] } {
  const faults = args.filter((arg) => !isFlag(arg)).map(faultOf);
  if (faults.length > 0) return { faults };
  const flags = args.filter(isFlag);
  return { flag: flags.includes('--help') ? '--help' : flags[0] };
}

export function flagsHelp(): string {
  const width = Math.max(...Object.keys(FLAGS).map((flag) => flag.length));
  return Object.entries(FLAGS)
    .map(([flag, meaning]) => `${flag.padEnd(width)}  ${meaning}`)
    .join('\n');
}

function isFlag(arg: string): arg is Flag {
  return Object.hasOwn(FLAGS, arg);
}

function faultOf(arg: string): string {
  // `--max-key-length=5` is meant as MAX_KEY_LENGTH.
  const [name] = arg.replace(/^--?/, '').toUpperCase().replaceAll('-', '_').split('=', 1);
  const hint = isSetting(name) ? `set ${name} in the environment` : 'settings are environment variables';
  return `${JSON.stringify(arg)} is not allowed; allowed: ${Object.keys(FLAGS).join(', ')}; ${hint}`;
}
