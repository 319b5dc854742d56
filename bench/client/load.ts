/**
 * The process of one client: `load.ts CLIENT PORT`. Carries out one job after the other, as its parent tells it, and
 * answers each with what was measured.
 */
import { keyOf, valueOf } from '../lib/data.ts';
import { quantile } from '../lib/statistics.ts';
import { CONNECT, type MeasuredClient } from './clients.ts';
import { type ClientName, type LoadJob, type LoadResult, keyCount } from './plan.ts';

/** So many calls are made between two whose latency is taken: a clock costs as much as a few calls. */
const CALLS_PER_SAMPLE = 8;
/** Of each key. So a read can tell whether what it gets was ever put. */
const VERSIONS = 2;
const PUT_SHARE = { GET: 0, SET: 1, '90 % GET': 0.1 };

/** The keys of one size of values, and what may be stored under them. */
class Content {
  readonly keys: readonly string[];
  readonly values: readonly (readonly string[])[];

  constructor(valueBytes: number) {
    const indices = Array.from({ length: keyCount(valueBytes) }, (_, i) => i + valueBytes * 1_000_000);
    this.keys = indices.map(keyOf);
    this.values = indices.map((index) =>
      Array.from({ length: VERSIONS }, (_, version) => valueOf(index, version, valueBytes)),
    );
  }
}

/** One user after the other is asked for a random place; cheap, so that it does not weigh on the client. */
class Places {
  private state = 0x9e3779b9;

  next(count: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % count;
  }
}

class Load {
  private readonly client: MeasuredClient;
  private readonly contents = new Map<number, Content>();
  private readonly places = new Places();

  constructor(client: MeasuredClient) {
    this.client = client;
  }

  async run({ operation, concurrency, valueBytes, milliseconds, isChecked }: LoadJob): Promise<LoadResult> {
    const content = await this.contentOf(valueBytes);
    const putShare = PUT_SHARE[operation];
    const samples: number[] = [];
    const faults: string[] = [];
    let calls = 0;
    const cpu = process.cpuUsage();
    const beganMs = performance.now();
    const endMs = beganMs + milliseconds;
    let nowMs = beganMs;
    const user = async (): Promise<void> => {
      while (nowMs < endMs) {
        const isSampled = calls++ % CALLS_PER_SAMPLE === 0;
        const sentMs = isSampled ? performance.now() : 0;
        const place = this.places.next(content.keys.length);
        if (putShare === 0 || (putShare < 1 && this.places.next(100) >= putShare * 100)) {
          const value = await this.client.get(content.keys[place]);
          // To compare each would take as much of the processor as a fast client: the content is in no cache.
          const isRight = isSampled ? isOneOf(value, content.values[place]) : value?.length === valueBytes;
          if (!isRight) faults.push(`${content.keys[place]}: ${value}`);
        } else {
          await this.client.set(content.keys[place], content.values[place][calls % VERSIONS]);
        }
        if (!isSampled) continue;
        nowMs = performance.now();
        samples.push(nowMs - sentMs);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, user));
    const seconds = (performance.now() - beganMs) / 1000;
    const { user: userMicros, system } = process.cpuUsage(cpu);
    if (isChecked) await this.check(content, faults);
    return {
      calls,
      seconds,
      p50Micros: quantile(samples, 0.5) * 1000,
      p99Micros: quantile(samples, 0.99) * 1000,
      cpuMicros: userMicros + system,
      faults: faults.slice(0, 1),
    };
  }

  /** Stores every key once. */
  private async contentOf(valueBytes: number): Promise<Content> {
    const known = this.contents.get(valueBytes);
    if (known) return known;
    const content = new Content(valueBytes);
    this.contents.set(valueBytes, content);
    for (let from = 0; from < content.keys.length; from += 100) {
      const keys = content.keys.slice(from, from + 100);
      await Promise.all(keys.map((key, i) => this.client.set(key, content.values[from + i][0])));
    }
    return content;
  }

  /** Some entries are there as they were put, and what was never put is not. */
  private async check(content: Content, faults: string[]): Promise<void> {
    for (let place = 0; place < content.keys.length; place += 97) {
      const value = await this.client.get(content.keys[place]);
      if (!isOneOf(value, content.values[place])) faults.push(`${content.keys[place]}: ${value}`);
    }
    const nothing = await this.client.get('never-put');
    if (nothing !== undefined && nothing !== null) faults.push(`never-put: ${nothing}`);
  }
}

function isOneOf(value: string | null | undefined, [first, second]: readonly string[]): boolean {
  return value === first || value === second;
}

const [name, port] = process.argv.slice(2);
const client = await CONNECT[name as ClientName](Number(port));
const load = new Load(client);
process.on('message', (job: LoadJob) => {
  load.run(job).then(
    (result) => process.send!(result),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
// The parent has gone, or is done.
process.on('disconnect', () => process.exit(0));
process.send!('ready');
