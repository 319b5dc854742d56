import { pino } from 'pino';
import { readAccessFiles } from './config/access-files.ts';
import { readSettings, settingsHelp } from './config/settings.ts';
import { LimitTooSmallError, type RunningServer, startServer } from './server.ts';
import type { StopSignals } from './stop-signals.ts';

/** `EX_CONFIG` of sysexits: the configuration is at fault. */
const EXIT_CONFIGURATION = 78;
const EXIT_FAILURE = 1;

/** The process: settings, start, end, exit code. */
export async function run(args: readonly string[], signals: StopSignals): Promise<void> {
  if (args.includes('--help')) {
    console.log(`Environment variables, with their defaults:\n\n${settingsHelp()}`);
    return;
  }
  if (args.length > 0) {
    console.error(`${args[0]}: is not allowed; allowed: --help. Settings are environment variables.`);
    process.exitCode = EXIT_CONFIGURATION;
    return;
  }
  const read = readSettings(process.env);
  const access = read.faults ? read : readAccessFiles(read.settings);
  if (read.faults || 'faults' in access) {
    for (const fault of read.faults ?? ('faults' in access ? access.faults : [])) console.error(fault);
    process.exitCode = EXIT_CONFIGURATION;
    return;
  }
  const logger = pino({ level: read.settings.LOG_LEVEL });
  let server: RunningServer | undefined;
  signals.close = () => server?.close() ?? Promise.resolve();
  try {
    server = await startServer(read.settings, logger, access);
  } catch (error) {
    console.error(startFailure(error));
    logger.debug({ err: error }, 'cannot start');
    process.exitCode = error instanceof LimitTooSmallError ? EXIT_CONFIGURATION : EXIT_FAILURE;
  }
}

function startFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof LimitTooSmallError) return `MEMORY_LIMIT: ${error.message}`;
  return `cannot start: ${error.message}`;
}
