import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer } from './http-client.ts';
import type { Random } from './random.ts';
import type { TestServer } from './server.ts';

export interface HistoryOptions {
  readonly servers: readonly TestServer[];
  readonly random: Random;
  readonly durationMs: number;
  /** How old an answer of one server may be after a write through another. */
  readonly staleMs: number;
  /** The engine may lose entries: then any read may find nothing. */
  readonly losesEntries?: boolean;
  /** Does something bad now and then. */
  readonly disturb: () => Promise<void> | void;
  readonly disturbEveryMs: number;
  /** The most that a reader rests after a read; 0 by default. */
  readonly readPauseMs?: number;
}

interface Write {
  readonly server: number;
  readonly version: number;
  readonly isDelete: boolean;
  readonly ackedMs: number;
}

/** A key whose writes follow each other, so that their versions are in the order in which the engine has them. */
interface KeyState {
  readonly name: string;
  version: number;
  readonly writes: Write[];
  /** The newest version that was read through each server. */
  readonly seen: number[];
}

/** What went on, and each answer that no order of the writes explains. */
export interface HistoryReport {
  readonly faults: string[];
  reads: number;
  writes: number;
  failures: number;
}

const KEYS = 10;
const READERS = 12;
/** The version of a key that was never written. */
const NEVER = 0;

/** Many clients read and write a few keys through several servers. Each read is checked when it is answered. */
export class TierHistory {
  readonly report: HistoryReport = { faults: [], reads: 0, writes: 0, failures: 0 };
  private readonly options: HistoryOptions;
  private readonly keys: KeyState[];

  constructor(options: HistoryOptions) {
    this.options = options;
    this.keys = Array.from({ length: KEYS }, (_, i) => this.newKey(`k${i}`));
  }

  /** Reads and writes for a while, with disturbances. */
  async run(): Promise<HistoryReport> {
    const { durationMs, disturb, disturbEveryMs } = this.options;
    const endMs = performance.now() + durationMs;
    const isOver = (): boolean => performance.now() >= endMs || this.report.faults.length > 0;
    const disturbances = async (): Promise<void> => {
      while (!isOver()) {
        await sleep(disturbEveryMs);
        // After the last request, it would drop the copies that are wrong.
        if (!isOver()) await disturb();
      }
    };
    await Promise.all([
      ...this.keys.map((_, i) => this.write(i, isOver)),
      ...Array.from({ length: READERS }, () => this.read(isOver)),
      disturbances(),
    ]);
    return this.report;
  }

  /** When all is quiet, every server has the last version of every key. */
  async checkQuiet(): Promise<void> {
    for (const key of this.keys) {
      for (const server of this.options.servers.keys()) {
        await this.readOnce(key, server, true);
      }
    }
  }

  private async write(place: number, isOver: () => boolean): Promise<void> {
    const { random } = this.options;
    for (let turn = 0; !isOver(); turn++) {
      const isDone = await this.writeOnce(this.keys[place]);
      // Nobody knows whether it will still take effect: with another key, that does not matter.
      if (!isDone) this.keys[place] = this.newKey(`k${place}-${turn}`);
      // A key that rests shows what has been missed; one that is written all the time hides it.
      await sleep(random.chance(0.1) ? random.whole(500, 3000) : random.whole(0, 20));
    }
  }

  private async read(isOver: () => boolean): Promise<void> {
    const { random, servers, readPauseMs = 0 } = this.options;
    while (!isOver()) {
      await this.readOnce(this.keys[random.whole(0, KEYS - 1)], random.whole(0, servers.length - 1), false);
      if (readPauseMs > 0) await sleep(random.whole(0, readPauseMs));
    }
  }

  /** @returns false where it failed. */
  private async writeOnce(key: KeyState): Promise<boolean> {
    const { random, servers } = this.options;
    const server = random.whole(0, servers.length - 1);
    const version = ++key.version;
    const isDelete = random.chance(0.1);
    const { status } = await this.send(servers[server], key.name, isDelete ? undefined : String(version));
    this.report.writes++;
    if (status >= 500) {
      this.report.failures++;
      return false;
    }
    key.writes.push({ server, version, isDelete, ackedMs: performance.now() });
    return true;
  }

  private send({ client }: TestServer, name: string, value: string | undefined): Promise<Answer> {
    const { random } = this.options;
    if (value === undefined) return client.call({ method: 'DELETE', path: `/cache/${name}` });
    if (random.chance(0.3)) return client.call({ method: 'PUT', path: `/kv/${name}`, body: value });
    if (random.chance(0.2)) {
      const requests = [{ method: 'PUT', key: name, value }];
      return client.send('POST', '/batch', { requests }).then((answer) => {
        const { responses } = JSON.parse(answer.text) as { responses: { status: number }[] };
        return { ...answer, status: responses[0].status };
      });
    }
    return client.put(name, value);
  }

  private async readOnce(key: KeyState, server: number, isQuiet: boolean): Promise<void> {
    const { servers, random, losesEntries, staleMs } = this.options;
    const sentMs = performance.now();
    const seenBefore = key.seen[server];
    const known = key.writes.filter(
      (write) => write.server === server || isQuiet || write.ackedMs < sentMs - staleMs,
    );
    const oldest = Math.max(seenBefore, ...known.map(({ version }) => version), NEVER);
    const { status, text } = await servers[server].client.get(
      `/${random.chance(0.5) ? 'kv' : 'cache'}/${key.name}`,
    );
    this.report.reads++;
    if (status >= 500) {
      this.report.failures++;
      if (isQuiet) this.report.faults.push(`${key.name}: ${status} when all is quiet`);
      return;
    }
    const version = status === 404 ? undefined : Number(/(\d+)("\})?$/.exec(text)![1]);
    if (version === undefined) {
      if (losesEntries || this.mayBeAbsent(key, oldest)) return;
    } else if (version >= oldest) {
      key.seen[server] = Math.max(key.seen[server], version);
      return;
    }
    const what = `${key.name} at server ${server}: read ${version ?? 'nothing'}, but it had ${oldest}`;
    this.report.faults.push(isQuiet ? `${what}, when all is quiet` : what);
  }

  /** Whether a key was never written, or has been deleted since the oldest version that may be read. */
  private mayBeAbsent({ writes, version }: KeyState, oldest: number): boolean {
    if (oldest === NEVER || writes.some((write) => write.isDelete && write.version >= oldest)) return true;
    // A write that is under way, or has failed, may be a delete.
    return (writes.at(-1)?.version ?? NEVER) < version;
  }

  private newKey(name: string): KeyState {
    return { name, version: NEVER, writes: [], seen: this.options.servers.map(() => NEVER) };
  }
}
