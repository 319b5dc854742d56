import { pino } from 'pino';
import { readAccessFiles } from './config/access-files.ts';
import { readSettings, settingsHelp } from './config/settings.ts';
import { LimitTooSmallError, type RunningServer, startServer } from './server.ts';

/** `EX_CONFIG` of sysexits: the configuration is at fault. */
const EXIT_CONFIGURATION = 78;
const EXIT_FAILURE = 1;
/** Whoever has not been answered by then will not be. */
const SHUTDOWN_DEADLINE_MS = 4500;

/** The process: settings, start, signals, exit code. */
export async function run(args: readonly string[]): Promise<void> {
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
  // Before it listens nothing is in flight.
  stopOnSignals(() => server?.close() ?? Promise.resolve());
  try {
    server = await startServer(read.settings, logger, access);
  } catch (error) {
    console.error(startFailure(error));
    process.exitCode = error instanceof LimitTooSmallError ? EXIT_CONFIGURATION : EXIT_FAILURE;
  }
}

function startFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof LimitTooSmallError) return `MEMORY_LIMIT: ${error.message}`;
  const { code } = error as NodeJS.ErrnoException;
  return code ? `cannot start: ${error.message}` : `cannot start: ${error.stack}`;
}

function stopOnSignals(close: () => Promise<void>): void {
  let isStopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (isStopping) return;
      isStopping = true;
      setTimeout(() => process.exit(0), SHUTDOWN_DEADLINE_MS).unref();
      void close().then(() => process.exit(0));
    });
  }
}
