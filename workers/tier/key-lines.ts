import { TIER_UNAVAILABLE } from '../../src/shared/protocol.ts';

/** Stands for the answer to a request that is under way. */
export interface Placeholder {
  /** False once the entry may have changed since the request was sent: its answer leaves no copy. */
  mayCopy: boolean;
  /** True once the answer is here: no read may wait for it any more. */
  isDone: boolean;
}

/** A read that waits for an entry. One of these is called. */
export interface Reader {
  /** There is a copy now, and until this has returned. */
  readonly found: () => void;
  /** There is none. @param code of the reply. */
  readonly refuse: (code: number) => void;
}

type Fetch = (readers: readonly Reader[], placeholder: Placeholder) => Promise<void>;

interface ReadRequest {
  readonly kind: 'read';
  readonly readers: Reader[];
  readonly fetch: Fetch;
  readonly sinceMs: number;
}

interface WriteRequest {
  readonly kind: 'write';
  readonly bytes: number;
  readonly perform: (placeholder: Placeholder) => Promise<void>;
  /** Called instead of `perform` where it has waited for too long. */
  readonly giveUp: () => void;
  readonly sinceMs: number;
}

type Request = ReadRequest | WriteRequest;

/** The requests of one key, in their order. The first one is under way. */
interface Line {
  current: Request;
  placeholder: Placeholder;
  readonly waiting: Request[];
}

/** Lets one request of each key at a time go to the engine. Reads that follow each other are one request. */
export class KeyLines {
  /** Requests that are not answered yet, and the bytes of the writes among them. */
  waiting = 0;
  bytes = 0;

  private readonly lines = new Map<string, Line>();
  private readonly nowMs: () => number;

  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  /** Keys that have requests. */
  get size(): number {
    return this.lines.size;
  }

  /** @param fetch must end, and not fail. */
  addRead(key: string, reader: Reader, fetch: Fetch): void {
    const line = this.lines.get(key);
    this.waiting++;
    if (line) {
      const joined = line.waiting.at(-1) ?? line.current;
      const isUnderWay = joined === line.current;
      const mayJoin = !isUnderWay || (line.placeholder.mayCopy && !line.placeholder.isDone);
      if (joined.kind === 'read' && mayJoin) {
        joined.readers.push(reader);
        return;
      }
    }
    this.add(key, line, { kind: 'read', readers: [reader], fetch, sinceMs: this.nowMs() });
  }

  /** @param perform must end, and not fail. */
  addWrite(key: string, bytes: number, giveUp: () => void, perform: WriteRequest['perform']): void {
    this.waiting++;
    this.bytes += bytes;
    const request: WriteRequest = { kind: 'write', bytes, perform, giveUp, sinceMs: this.nowMs() };
    this.add(key, this.lines.get(key), request);
  }

  /** The entry of a key has changed: what is under way for it leaves no copy. */
  forbidCopy(key: string): void {
    const line = this.lines.get(key);
    if (line) line.placeholder.mayCopy = false;
  }

  forbidCopies(): void {
    for (const { placeholder } of this.lines.values()) placeholder.mayCopy = false;
  }

  /** Gives up requests that came at this time or earlier, and have not been sent. */
  expire(overdueMs: number): void {
    for (const { waiting } of this.lines.values()) {
      while (waiting.length > 0 && waiting[0].sinceMs <= overdueMs) {
        const request = waiting.shift()!;
        this.forget(request);
        if (request.kind === 'write') request.giveUp();
        else for (const reader of request.readers) reader.refuse(TIER_UNAVAILABLE);
      }
    }
  }

  private add(key: string, line: Line | undefined, request: Request): void {
    if (line) line.waiting.push(request);
    else void this.work(key, request);
  }

  /** Sends the requests of a key, one after the other, until there is none left. */
  private async work(key: string, first: Request): Promise<void> {
    const line: Line = { current: first, placeholder: newPlaceholder(), waiting: [] };
    this.lines.set(key, line);
    for (let request: Request | undefined = first; request; request = line.waiting.shift()) {
      line.current = request;
      line.placeholder = newPlaceholder();
      if (request.kind === 'write') await request.perform(line.placeholder);
      else await request.fetch(request.readers, line.placeholder);
      this.forget(request);
    }
    this.lines.delete(key);
  }

  private forget(request: Request): void {
    if (request.kind === 'read') {
      this.waiting -= request.readers.length;
    } else {
      this.waiting--;
      this.bytes -= request.bytes;
    }
  }
}

function newPlaceholder(): Placeholder {
  return { mayCopy: true, isDone: false };
}
