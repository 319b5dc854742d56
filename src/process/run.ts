import packageJson from '../../package.json' with { type: 'json' };
import { ACCESS_SETTINGS, readAccessFiles } from '../config/access-files.ts';
import { snapshotFaults } from '../config/snapshot-file.ts';
import { type Environment, readSettings, settingsHelp, settingsInForce } from '../config/settings.ts';
import { thisMachine } from '../config/threads.ts';
import { ListenError, resolveHost } from '../listening.ts';
import { LimitTooSmallError } from '../memory/memory-plan.ts';
import { findMemoryLimit } from '../memory/probe.ts';
import { checkMemoryLimit } from '../server.ts';
import { flagsHelp, readCommandLine } from './command-line.ts';
import { EXIT_CONFIGURATION } from './launch.ts';
import { standardOutput } from './line-output.ts';
import { type Outputs, drain, serve } from './serve.ts';
import type { StopSignals } from './stop-signals.ts';

const EXIT_FAILURE = 1;

/** The process: command line, settings, exit code. */
export async function run(args: readonly string[], env: Environment, signals: StopSignals): Promise<void> {
  const outputs = { output: standardOutput(1), errors: standardOutput(2) };
  const failure = await carryOut(args, env, signals, outputs);
  if (failure === undefined) return;
  for (const line of failure.lines) outputs.errors.write(`${line}\n`);
  process.exitCode = failure.exitCode;
  await drain(outputs);
}

interface Failure {
  readonly exitCode: number;
  readonly lines: readonly string[];
}

async function carryOut(
  args: readonly string[],
  env: Environment,
  signals: StopSignals,
  outputs: Outputs,
): Promise<Failure | undefined> {
  const commandLine = readCommandLine(args);
  if ('faults' in commandLine) return misconfigured(commandLine.faults);
  const { flag } = commandLine;
  const print = async (text: string): Promise<undefined> => {
    outputs.output.write(`${text}\n`);
    await drain(outputs);
  };
  if (flag === '--help') return print(helpText());
  if (flag === '--version') return print(packageJson.version);

  const read = readSettings(env, thisMachine(findMemoryLimit(undefined).limitBytes));
  if (read.faults) return misconfigured([...read.faults, ...faultsOfFiles(env)]);
  const { settings } = read;
  const access = readAccessFiles(settings);
  const faults = ['faults' in access ? access.faults : [], snapshotFaults(settings)].flat();
  if ('faults' in access || faults.length > 0) return misconfigured(faults);
  try {
    if (flag === undefined) return await serve(settings, access, signals, outputs);
    // Throws where a start would: nothing is started here.
    await resolveHost(settings.HOST);
    const { memoryLimit, warning } = await checkMemoryLimit(settings);
    if (warning !== undefined) outputs.errors.write(`MEMORY_LIMIT: ${warning}\n`);
    return await print(settingsInForce(settings, env, memoryLimit));
  } catch (error) {
    if (error instanceof LimitTooSmallError) return misconfigured([`MEMORY_LIMIT: ${error.message}`]);
    if (error instanceof ListenError) {
      const exitCode = error.isConfiguration ? EXIT_CONFIGURATION : EXIT_FAILURE;
      return { exitCode, lines: [error.message] };
    }
    const why = error instanceof Error ? error.message : String(error);
    return { exitCode: EXIT_FAILURE, lines: [`cannot start: ${why}`] };
  }
}

/** Of the files alone, whatever else is wrong: so all faults are told at once. */
function faultsOfFiles(env: Environment): readonly string[] {
  const { settings } = readSettings(Object.fromEntries(ACCESS_SETTINGS.map((name) => [name, env[name]])));
  const access = settings && readAccessFiles(settings);
  return access && 'faults' in access ? access.faults : [];
}

function misconfigured(lines: readonly string[]): Failure {
  return { exitCode: EXIT_CONFIGURATION, lines };
}

function helpText(): string {
  return `Environment variables, with their defaults:\n\n${settingsHelp()}\n\nFlags:\n\n${flagsHelp()}`;
}
