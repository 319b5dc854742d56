import { type ClientRequest, get } from 'node:http';
import { median } from '../lib/statistics.ts';

/** The stream of events that the dashboard reads. */
export const DEFAULT_EVENTS = '/dashboard/feed';
const SCRAPE_INTERVAL_MS = 1000;
/** What a scrape may take, from request to end of answer. */
const MAX_SCRAPE_MS = 5;

/** Watches a server as Prometheus and a dashboard do. */
export class Watcher {
  readonly scrapeMs: number[] = [];
  eventBytes = 0;
  private readonly port: number;
  private readonly onError: (error: Error) => void;
  private readonly timer: NodeJS.Timeout;
  private readonly stream: ClientRequest | undefined;
  private isStopped = false;

  /**
   * @param events path of a stream that is read as well; empty for none.
   * @param onError told of an answer other than 200, and of none.
   */
  constructor(port: number, events: string, onError: (error: Error) => void) {
    this.port = port;
    this.onError = onError;
    this.timer = setInterval(() => this.scrape(), SCRAPE_INTERVAL_MS);
    if (events !== '') this.stream = this.read(events, (bytes) => (this.eventBytes += bytes));
  }

  stop(): void {
    this.isStopped = true;
    clearInterval(this.timer);
    this.stream?.destroy();
  }

  private scrape(): void {
    const beganMs = performance.now();
    this.read('/metrics', () => undefined).once('close', () => {
      this.scrapeMs.push(performance.now() - beganMs);
    });
  }

  /** Asks, and takes the answer as it comes. */
  private read(path: string, onBytes: (bytes: number) => void): ClientRequest {
    const fail = (why: string): void => {
      if (!this.isStopped) this.onError(new Error(`${path}: ${why}`));
    };
    return get({ port: this.port, path, host: '127.0.0.1' }, (response) => {
      response.on('error', ({ message }) => fail(message));
      if (response.statusCode !== 200) fail(`was answered ${response.statusCode}`);
      response.on('data', (chunk: Buffer) => onBytes(chunk.length));
    }).on('error', ({ message }) => fail(message));
  }
}

/** Whether scrapes are quick enough, and what to say of them. */
export function judgeScrapes(scrapeMs: readonly number[]): {
  readonly isMet: boolean;
  readonly text: string;
} {
  const middleMs = median(scrapeMs);
  const isMet = middleMs < MAX_SCRAPE_MS;
  const verdict = `${isMet ? 'under' : 'NOT under'} the ${MAX_SCRAPE_MS} ms that are allowed`;
  return { isMet, text: `${scrapeMs.length} scrapes, median ${middleMs.toFixed(1)} ms: ${verdict}` };
}
