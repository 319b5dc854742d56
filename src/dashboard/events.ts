import type { KeptEvent, Level, Mark } from './samples.ts';

/** As of a logger. */
type Sink = Readonly<Record<Level, (fields: object, message: string) => void>>;

const MAX_EVENTS = 100;
/** The message of an error may have any length. */
const MAX_MESSAGE_LENGTH = 400;

/** The last log lines, in the words of the log. */
export class EventRing {
  private readonly nowMs: () => number;
  private readonly kept: KeptEvent[] = [];
  private last = 0;

  /** @param nowMs milliseconds since the epoch. */
  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  /** The number of the last event, 0 before the first. */
  get lastNumber(): number {
    return this.last;
  }

  add(level: Level, fields: object, message: string): void {
    this.last++;
    const mark = markOf(fields);
    this.kept.push({
      number: this.last,
      atMs: this.nowMs(),
      level,
      message: shortened(message),
      ...(mark && { mark }),
    });
    if (this.kept.length > MAX_EVENTS) this.kept.shift();
  }

  /** Events after the one of that number, oldest first, as far as they are kept. */
  after(number: number): readonly KeptEvent[] {
    return this.kept.filter((event) => event.number > number);
  }

  /**
   * A logger that writes to another one, and keeps what it writes here.
   * @param keepsDebug whether the other one writes lines of that level, too.
   */
  recording(sink: Sink, keepsDebug: boolean): Sink {
    const recorded =
      (level: Level) =>
      (fields: object, message: string): void => {
        this.add(level, fields, message);
        sink[level](fields, message);
      };
    return {
      debug: keepsDebug ? recorded('debug') : (fields, message) => sink.debug(fields, message),
      info: recorded('info'),
      warn: recorded('warn'),
      error: recorded('error'),
    };
  }
}

/** Events are told apart by what they have for machines. */
function markOf(fields: object): Mark | undefined {
  if ('order' in fields) return 'shed';
  return 'heldBytes' in fields && 'err' in fields ? 'death' : undefined;
}

/** A copy of the piece alone: a part of a string keeps the whole of it. */
function shortened(message: string): string {
  if (message.length <= MAX_MESSAGE_LENGTH) return message;
  return `${Buffer.from(message.slice(0, MAX_MESSAGE_LENGTH)).toString()}…`;
}
