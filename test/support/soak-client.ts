import { HttpPipe } from './http-pipe.ts';
import { Random } from './random.ts';

const HOT_KEYS = 25;
/** So many that most expire before they are put again. */
const TTL_KEYS = 300;
const TTL_MS = 1000;
/** Near the end of its time an entry may be there or not: two clocks, and a request on its way. */
const CLOCK_SLACK_MS = 100;
const MOST_COLD_BYTES = 32 * 1024;
/**
 * Of cold entries, what each connection may put at once, and then per second: memory fills, and from then on
 * turns over so slowly, on a machine of any speed, that what is used within seconds is never the coldest.
 */
const COLD_BURST_BYTES = 4 * 2 ** 20;
const COLD_BYTES_PER_SECOND = 2 ** 20;
const FILLER = 'all work and no play makes jack a dull boy; '.repeat(1000);

export interface SoakCounts {
  requests: number;
  hits: number;
  misses: number;
  /** Answers that the model says are wrong. */
  readonly wrong: string[];
}

interface TtlEntry {
  readonly value: string;
  /** It is there until the first, and gone after the second. */
  readonly surelyUntilMs: number;
  readonly goneAfterMs: number;
}

/**
 * One connection with keys of its own and a model of them: some that are used so often that no shed order
 * reaches them, some that expire, and an endless row of cold ones that keep memory at the threshold.
 */
export class SoakClient {
  readonly counts: SoakCounts = { requests: 0, hits: 0, misses: 0, wrong: [] };
  private readonly pipe: HttpPipe;
  private readonly random: Random;
  private readonly name: string;
  private readonly hot = new Map<string, string>();
  private readonly expiring = new Map<string, TtlEntry>();
  private readonly startedMs = performance.now();
  private cold = 0;
  private coldBytes = 0;

  private constructor(pipe: HttpPipe, name: string, seed: number) {
    this.pipe = pipe;
    this.name = name;
    this.random = new Random(seed);
  }

  static async open(port: number, name: string, seed: number): Promise<SoakClient> {
    return new SoakClient(await HttpPipe.open(port), name, seed);
  }

  close(): void {
    this.pipe.close();
  }

  /** One request after the other until `isOver`. */
  async run(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const { random } = this;
      const dice = random.next();
      if (dice < 0.3 && this.mayPutCold()) await this.putCold();
      else if (dice < 0.6) await this.getHot(`${this.name}-hot-${random.whole(1, HOT_KEYS)}`);
      else if (dice < 0.7) await this.putHot(`${this.name}-hot-${random.whole(1, HOT_KEYS)}`);
      else if (dice < 0.72) await this.deleteHot(`${this.name}-hot-${random.whole(1, HOT_KEYS)}`);
      else if (dice < 0.82) await this.putExpiring(`${this.name}-ttl-${random.whole(1, TTL_KEYS)}`);
      else await this.getExpiring(`${this.name}-ttl-${random.whole(1, TTL_KEYS)}`);
    }
  }

  private mayPutCold(): boolean {
    const seconds = (performance.now() - this.startedMs) / 1000;
    return this.coldBytes < COLD_BURST_BYTES + COLD_BYTES_PER_SECOND * seconds;
  }

  private async putCold(): Promise<void> {
    const value = FILLER.slice(0, this.random.whole(1, MOST_COLD_BYTES));
    this.coldBytes += value.length;
    await this.put(`${this.name}-cold-${this.cold++}`, value, this.random.chance(0.3) ? 3600 : undefined);
  }

  private async putHot(key: string): Promise<void> {
    const value = this.random.text(100).replaceAll(/["\\]/g, '_');
    await this.put(key, value);
    this.hot.set(key, value);
  }

  private async getHot(key: string): Promise<void> {
    const value = await this.get(key);
    this.expect(value === (this.hot.get(key) ?? null), `${key}: ${value}`);
  }

  private async deleteHot(key: string): Promise<void> {
    const { status } = await this.pipe.delete(`/cache/${key}`);
    this.counts.requests++;
    this.expect(status === (this.hot.delete(key) ? 204 : 404), `DELETE ${key}: ${status}`);
  }

  private async putExpiring(key: string): Promise<void> {
    const value = `value ${this.counts.requests}`;
    const sentMs = performance.now();
    await this.put(key, value, TTL_MS / 1000);
    this.expiring.set(key, {
      value,
      surelyUntilMs: sentMs + TTL_MS - CLOCK_SLACK_MS,
      goneAfterMs: performance.now() + TTL_MS + CLOCK_SLACK_MS,
    });
  }

  private async getExpiring(key: string): Promise<void> {
    const entry = this.expiring.get(key);
    const sentMs = performance.now();
    const value = await this.get(key);
    if (entry === undefined || sentMs > entry.goneAfterMs) {
      this.expect(value === null, `${key} should have expired`);
    } else if (performance.now() < entry.surelyUntilMs) {
      this.expect(value === entry.value, `${key} should be there: ${value}`);
    } else {
      this.expect(value === null || value === entry.value, `${key}: ${value}`);
    }
  }

  private async put(key: string, value: string, ttlSeconds?: number): Promise<void> {
    const { status } = await this.pipe.put(key, value, ttlSeconds);
    this.counts.requests++;
    this.expect(status === 201, `PUT ${key}: ${status}`);
  }

  private async get(key: string): Promise<string | null> {
    const { status, body } = await this.pipe.get(`/cache/${key}`);
    this.counts.requests++;
    if (status === 200) this.counts.hits++;
    else this.counts.misses++;
    this.expect(status === 200 || status === 404, `GET ${key}: ${status}`);
    return status === 200 ? (JSON.parse(body) as { value: string }).value : null;
  }

  private expect(isRight: boolean, what: string): void {
    if (!isRight) this.counts.wrong.push(what);
  }
}
