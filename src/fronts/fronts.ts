import type { AccessFiles } from '../config/access-files.ts';
import type { HttpFigures } from '../metrics/http-figures.ts';
import type { NamedThread } from '../metrics/metrics.ts';
import type { Shard } from '../shards/shard.ts';
import { Front, type FrontHost, type FrontOptions } from './front.ts';
import type { FrontAddress, ShardNews } from './messages.ts';

/** The HTTP threads beside the main thread: none with `FRONTS=1`. */
export class Fronts {
  readonly fronts: readonly Front[];

  /** @param count how many HTTP threads there are, with the main thread. */
  constructor(count: number, host: FrontHost, options: FrontOptions) {
    this.fronts = Array.from({ length: count - 1 }, (_, i) => new Front(i + 1, host, options));
  }

  /** @returns when the application of each is there. */
  async start(): Promise<void> {
    await Promise.all(this.fronts.map((front) => front.start()));
  }

  async listen(address: FrontAddress): Promise<void> {
    await Promise.all(this.fronts.map((front) => front.listen(address)));
  }

  /** A shard has ended, or is there again. */
  tellOf(shard: Shard): void {
    for (const front of this.fronts) front.tellShard(newsOf(shard));
  }

  useAccess(access: AccessFiles): void {
    for (const front of this.fronts) front.tell({ kind: 'access', access });
  }

  beginShutdown(): void {
    for (const front of this.fronts) front.tell({ kind: 'begin shutdown' });
  }

  async close(): Promise<void> {
    await Promise.all(this.fronts.map((front) => front.close()));
  }

  /** Ends all at once. */
  async stop(): Promise<void> {
    await Promise.all(this.fronts.map((front) => front.stop()));
  }

  /** Requests without an answer, as last read. */
  get unanswered(): number {
    return this.figures.reduce((sum, { holds }) => sum + holds.requests, 0);
  }

  /** Asks all for their figures. @returns when all that answer have answered. */
  async refresh(withThreads = false): Promise<void> {
    await Promise.all(this.fronts.map((front) => front.refresh(withThreads)));
  }

  /** As last read. */
  get figures(): readonly HttpFigures[] {
    return this.fronts.flatMap(({ lastFigures }) => lastFigures);
  }

  get threads(): readonly NamedThread[] {
    return this.fronts.flatMap(({ number, thread }) =>
      thread ? [{ name: `front-${number}`, figures: thread }] : [],
    );
  }
}

/** How a shard is, for one HTTP thread: each has a session of its own. */
export function newsOf({ number, state, restarts, mailbox }: Shard): ShardNews {
  return { shard: number, state, restarts, session: mailbox?.openSession() };
}
