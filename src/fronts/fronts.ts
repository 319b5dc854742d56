import type { AccessFiles } from '../config/access-files.ts';
import { furtherFronts } from '../config/threads.ts';
import type { HttpFigures } from '../metrics/http-figures.ts';
import type { NamedThread } from '../metrics/metrics.ts';
import type { Shard } from '../shards/shard.ts';
import { Front, type FrontHost, type FrontOptions } from './front.ts';
import type { FrontAddress, ShardNews } from './messages.ts';

/**
 * The HTTP threads beside the main thread: none with `FRONTS=1`. To start one takes half a second of a processor. So there
 * is a spare thread, which serves as soon as another one has died.
 */
export class Fronts {
  readonly fronts: readonly Front[];
  private readonly wanted: number;
  private readonly host: FrontHost;
  private address: FrontAddress | undefined;
  private readonly shards: () => readonly Shard[];
  /** When each front died whose place is not taken yet. */
  private readonly deathsMs: number[] = [];
  private readonly serving = new Set<Front>();
  private isClosing = false;

  /**
   * @param count how many HTTP threads there are to be, with the main thread.
   * @param shards that fronts have sessions with.
   */
  constructor(count: number, shards: () => readonly Shard[], host: FrontHost, options: FrontOptions) {
    this.wanted = count - 1;
    this.shards = shards;
    this.host = host;
    const events = {
      onChange: (front: Front) => this.replace(front),
      onListening: (front: Front) => this.reportReplacement(front),
    };
    this.fronts = Array.from(
      { length: furtherFronts(count) },
      (_, i) => new Front(i + 1, host, events, options),
    );
  }

  /** @returns when the application of each is there. */
  async start(): Promise<void> {
    await Promise.all(this.fronts.map((front) => front.start()));
  }

  /** @returns when as many listen as are to serve. */
  async listen(address: FrontAddress): Promise<void> {
    this.address = address;
    await Promise.all(this.fillPlaces());
  }

  /** A shard has ended, or is there again. */
  tellOf(shard: Shard): void {
    for (const front of this.fronts) front.tellShard(newsOf(shard, front.serves));
  }

  useAccess(access: AccessFiles): void {
    for (const front of this.fronts) front.tell({ kind: 'access', access });
  }

  beginShutdown(): void {
    for (const front of this.fronts) front.tell({ kind: 'begin shutdown' });
  }

  async close(): Promise<void> {
    this.isClosing = true;
    await Promise.all(this.fronts.map((front) => front.close()));
  }

  /** Ends all at once. */
  async stop(): Promise<void> {
    this.isClosing = true;
    await Promise.all(this.fronts.map((front) => front.stop()));
  }

  /** Requests without an answer, as last read. */
  get unanswered(): number {
    return this.fronts.reduce((sum, { unanswered }) => sum + unanswered, 0);
  }

  /** Asks all for their figures. @returns when all that answer have answered. */
  async refresh(withThreads = false): Promise<void> {
    await Promise.all(this.fronts.map((front) => front.refresh(withThreads)));
  }

  /** As last read. */
  get figures(): readonly HttpFigures[] {
    return this.fronts.flatMap(({ lastFigures }) => lastFigures);
  }

  /** Threads that died and were started anew. */
  get restarts(): number {
    return this.fronts.reduce((sum, { restarts }) => sum + restarts, 0);
  }

  get threads(): readonly NamedThread[] {
    return this.fronts.flatMap(({ number, thread }) =>
      thread ? [{ name: `front-${number}`, figures: thread }] : [],
    );
  }

  /** A front has started, or has ended. */
  private replace(front: Front): void {
    if (this.isClosing) return;
    if (!front.serves && this.serving.delete(front)) this.deathsMs.push(performance.now());
    // Whoever cannot listen tries again by itself.
    for (const listening of this.fillPlaces()) listening.catch(() => undefined);
  }

  private fillPlaces(): Promise<void>[] {
    const { address } = this;
    if (address === undefined) return [];
    const spare = this.fronts.filter((front) => front.state === 'up' && !front.serves);
    return spare.slice(0, this.wanted - this.serving.size).map((front) => {
      this.serving.add(front);
      return front.listen(
        address,
        this.shards().map((shard) => newsOf(shard, true)),
      );
    });
  }

  private reportReplacement(front: Front): void {
    const diedMs = this.deathsMs.shift();
    if (diedMs !== undefined) this.host.onReplaced(front.number, performance.now() - diedMs);
  }
}

/** How a shard is, for one HTTP thread. @param isServing whether it needs a session. */
export function newsOf({ number, state, restarts, mailbox }: Shard, isServing: boolean): ShardNews {
  return { shard: number, state, restarts, session: isServing ? mailbox?.openSession() : undefined };
}
