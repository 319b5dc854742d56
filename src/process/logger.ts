import { isatty } from 'node:tty';
import { type Logger, pino } from 'pino';
import { linesLost, logEvent } from '../log-events.ts';
import type { LineOutput } from './line-output.ts';

/** Whether a person looks at standard output. */
export function isInTerminal(): boolean {
  return isatty(1);
}

/** Writes lines for people where standard output is a terminal, and else one JSON object per line. */
export async function createLogger(level: string, output: LineOutput): Promise<Logger> {
  const toLine = isInTerminal() ? await prettyLine() : (line: string) => line;
  const logger = pino({ level }, { write: (line: string) => output.write(toLine(line)) });
  output.onRecovery = ({ lines, why }) => logEvent(logger, linesLost(lines, why));
  return logger;
}

/** Loaded in a terminal only: nowhere else is it to take memory. */
async function prettyLine(): Promise<(line: string) => string> {
  const { prettyFactory } = await import('pino-pretty');
  return prettyFactory({
    // Knows NO_COLOR, FORCE_COLOR and terminals without colours.
    colorize: process.stdout.hasColors(),
    translateTime: 'SYS:HH:MM:ss',
    // The message says it in plain words; the fields are for machines.
    include: 'level,time,msg,err',
  });
}
