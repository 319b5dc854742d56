import { type CacheClient, CacheError } from '../../src/client/cache-client.ts';
import { KeyModel, type Span } from './key-model.ts';
import type { Random } from './random.ts';

const KEYS = 20;
const MAX_BURST = 40;
const FILLER = 'all work and no play makes jack a dull boy; '.repeat(2500);
const decoder = new TextDecoder();

/** After these nothing was carried out: the cache was not asked, or refused. */
const NOT_DONE: ReadonlySet<string> = new Set([
  'CACHE_ERR_CLIENT_CIRCUIT_OPEN',
  'CACHE_ERR_SHARD_UNAVAILABLE',
  'CACHE_ERR_SHARD_BUSY',
  'CACHE_ERR_BUSY',
]);

export interface Tally {
  /** All but those that failed at once, because the cache was not asked for a moment. */
  calls: number;
  /** How often what was asked for was done. */
  done: number;
  /** By code. */
  readonly failed: Map<string, number>;
  /** What the model says is wrong. */
  readonly wrong: string[];
  longestMs: number;
}

/** Names the last loss that may have hit a key, of its shard or of the whole cache. */
export type LastLoss = (key: string) => string;

type Outcome = { readonly value: unknown } | { readonly error: unknown };

/** One call of a burst, and what it says of the model when it is settled. */
interface Made {
  readonly key: string;
  readonly sentMs: number;
  readonly result: Promise<Outcome & { readonly settledMs: number }>;
  readonly write?: { readonly value: string | null; readonly ttlMs: number | undefined };
  readonly agrees: (model: KeyModel, value: unknown, span: Span) => boolean;
}

/**
 * Makes bursts of random calls for keys of its own, in one turn each, and compares all answers with a model. Calls for one
 * key take effect in their order, so the model takes them in that order, too.
 */
export class RandomUser {
  private readonly cache: CacheClient;
  private readonly name: string;
  private readonly random: Random;
  private readonly tally: Tally;
  private readonly lastLoss: LastLoss;
  private readonly keys = new Map<string, { readonly model: KeyModel; lastLoss: string }>();
  private values = 0;

  constructor(cache: CacheClient, name: string, random: Random, tally: Tally, lastLoss: LastLoss) {
    this.cache = cache;
    this.name = name;
    this.random = random;
    this.tally = tally;
    this.lastLoss = lastLoss;
    for (let i = 0; i < KEYS; i++) this.keys.set(`${name}-${i}`, { model: new KeyModel(), lastLoss: '' });
  }

  get ownKeys(): Iterable<string> {
    return this.keys.keys();
  }

  /** @returns whether anything was done. */
  async burst(): Promise<boolean> {
    const made = Array.from({ length: this.random.whole(1, MAX_BURST) }, () => this.makeCall());
    const settled = await Promise.all(made.map(({ result }) => result));
    // A loss in the midst of the burst may have been before or after each of its calls.
    const lossy = new Set([...new Set(made.map(({ key }) => key))].filter((key) => this.hasLoss(key)));
    for (const [place, call] of made.entries()) this.judge(call, settled[place], lossy.has(call.key));
    return settled.some((outcome) => 'value' in outcome);
  }

  private hasLoss(key: string): boolean {
    const own = this.keys.get(key)!;
    const lastLoss = this.lastLoss(key);
    if (own.lastLoss === lastLoss) return false;
    own.lastLoss = lastLoss;
    return true;
  }

  private makeCall(): Made {
    const { random, cache } = this;
    const key = `${this.name}-${random.whole(0, KEYS - 1)}`;
    const dice = random.next();
    if (dice < 0.35) {
      const read = random.chance(0.5)
        ? cache.get(key)
        : cache.getBytes(key).then((bytes) => bytes && decoder.decode(bytes));
      return { ...this.watch(key, read), agrees: agreesAsRead };
    }
    if (dice < 0.45) return { ...this.watch(key, cache.has(key)), agrees: agreesAsSeen };
    if (dice < 0.6) {
      return {
        ...this.watch(key, cache.delete(key)),
        write: { value: null, ttlMs: undefined },
        agrees: agreesAsDeleted,
      };
    }
    return this.makeSet(key);
  }

  private makeSet(key: string): Made {
    const { random, cache } = this;
    const filler = random.chance(0.02) ? random.whole(0, FILLER.length) : random.whole(0, 100);
    const value = `${this.name}.${this.values++} grün ${FILLER.slice(0, filler)}`;
    const ttlMs = random.chance(0.2) ? random.whole(20, 400) : undefined;
    const stored = random.chance(0.3) ? new TextEncoder().encode(value) : value;
    const options = ttlMs === undefined ? {} : { ttlMs };
    const agrees: Made['agrees'] = (model, _value, span) => {
      model.wrote(value, ttlMs, span);
      return true;
    };
    return { ...this.watch(key, cache.set(key, stored, options)), write: { value, ttlMs }, agrees };
  }

  private watch(key: string, call: Promise<unknown>): Pick<Made, 'key' | 'sentMs' | 'result'> {
    const sentMs = performance.now();
    const settle = (outcome: Outcome): Outcome & { settledMs: number } => {
      const settledMs = performance.now();
      this.tally.longestMs = Math.max(this.tally.longestMs, settledMs - sentMs);
      return { ...outcome, settledMs };
    };
    return {
      key,
      sentMs,
      result: call.then(
        (value) => settle({ value }),
        (error: unknown) => settle({ error }),
      ),
    };
  }

  private judge(call: Made, settled: Outcome & { settledMs: number }, isLossy: boolean): void {
    const { tally } = this;
    const { model } = this.keys.get(call.key)!;
    const span = { sentMs: call.sentMs, settledMs: settled.settledMs };
    if (isLossy) model.lose();
    if ('value' in settled) {
      tally.calls++;
      tally.done++;
      if (!call.agrees(model, settled.value, span)) {
        tally.wrong.push(
          `${call.key} at ${Math.round(span.settledMs)}: ${String(settled.value).slice(0, 60)}`,
        );
      }
    } else {
      this.judgeFailure(call, settled.error, model, span);
    }
    if (isLossy) model.lose();
  }

  private judgeFailure({ key, write }: Made, error: unknown, model: KeyModel, span: Span): void {
    const { tally } = this;
    if (!(error instanceof CacheError) || !error.isUnavailable) tally.wrong.push(`${key}: ${String(error)}`);
    const code = error instanceof CacheError ? error.code : 'none';
    if (code !== 'CACHE_ERR_CLIENT_CIRCUIT_OPEN') tally.calls++;
    tally.failed.set(code, (tally.failed.get(code) ?? 0) + 1);
    if (write && !NOT_DONE.has(code)) model.mayHaveWritten(write.value, write.ttlMs, span);
  }
}

function agreesAsRead(model: KeyModel, value: unknown, span: Span): boolean {
  return model.read((value as string | undefined) ?? null, span);
}

function agreesAsSeen(model: KeyModel, value: unknown, span: Span): boolean {
  return model.saw(value as boolean, span);
}

function agreesAsDeleted(model: KeyModel, value: unknown, span: Span): boolean {
  const isRight = model.saw(value as boolean, span);
  model.wrote(null, undefined, span);
  return isRight;
}
