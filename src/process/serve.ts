import { isatty } from 'node:tty';
import packageJson from '../../package.json' with { type: 'json' };
import { type AccessFiles, hasAccessFiles, readAccessFiles } from '../config/access-files.ts';
import type { Settings } from '../config/settings.ts';
import {
  type LogSink,
  filesNotTaken,
  filesReadAgain,
  linesLost,
  logEvent,
  stopped,
  stopping,
} from '../log-events.ts';
import { type RunningServer, startServer } from '../server.ts';
import { MAX_LAST_SAVE_MS } from '../snapshot/snapshots.ts';
import { banner } from './banner.ts';
import type { LineOutput } from './line-output.ts';
import { createLogger, isInTerminal } from './logger.ts';
import type { StopSignals, Stoppable } from './stop-signals.ts';

export interface Outputs {
  readonly output: LineOutput;
  readonly errors: LineOutput;
}

/** A reader that is slow has this long to take the last lines. */
const LAST_LINES_MS = 300;

export async function drain({ output, errors }: Outputs): Promise<void> {
  await Promise.all([output.drain(LAST_LINES_MS), errors.drain(LAST_LINES_MS)]);
}

/** Starts the server, and ties it to the process: its log, its signals, its terminal. */
export async function serve(
  settings: Settings,
  access: AccessFiles,
  signals: StopSignals,
  outputs: Outputs,
): Promise<undefined> {
  const log = await createLogger(settings.LOG_LEVEL, outputs.output);
  process.on('uncaughtExceptionMonitor', (error) => log.fatal({ err: error }, 'the process fails'));
  const server = await startServer(settings, log, access);
  const { logger } = server;
  outputs.output.onRecovery = ({ lines, why }) => logEvent(logger, linesLost(lines, why));
  signals.target = stoppable(server, settings, logger, outputs);
  // A terminal that goes away must take the server with it; without one the signal is free for what daemons do with it.
  const readsAgain = hasAccessFiles(settings) && ![0, 1, 2].some((fd) => isatty(fd));
  signals.onHangUp(() => {
    if (readsAgain) readFilesAgain(settings, server, logger);
    else signals.stop('SIGHUP');
  });
  if (isInTerminal() && log.isLevelEnabled('info')) {
    const hasToken = access.authToken !== undefined;
    const { SHARDS: shards, FRONTS: fronts, MEMORY_THRESHOLD: threshold } = settings;
    outputs.output.write(
      banner({ ...server, version: packageJson.version, hasToken, shards, fronts, threshold }),
    );
  }
}

function readFilesAgain(settings: Settings, server: RunningServer, logger: LogSink): void {
  const access = readAccessFiles(settings);
  if ('faults' in access) {
    logEvent(logger, filesNotTaken(access.faults));
    return;
  }
  server.useAccess(access);
  logEvent(logger, filesReadAgain());
}

function stoppable(
  server: RunningServer,
  { SHUTDOWN_DELAY_MS: delayMs, SNAPSHOT_FILE }: Settings,
  logger: LogSink,
  outputs: Outputs,
): Stoppable {
  const { unanswered } = server;
  let beganMs = 0;
  return {
    delayMs,
    lastSaveMs: SNAPSHOT_FILE === '' ? 0 : MAX_LAST_SAVE_MS,
    begin: (signal) => {
      beganMs = performance.now();
      server.beginShutdown();
      logEvent(logger, stopping(signal, unanswered(), delayMs));
    },
    close: server.close,
    end: (error) => {
      if (error !== undefined) logger.error({ err: error }, 'not all could be closed');
      logEvent(logger, stopped(performance.now() - beganMs, unanswered()));
      return drain(outputs);
    },
  };
}
