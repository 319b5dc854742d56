import { type Answer, HttpClient, cachePath } from './http-client.ts';

/** Stores keys one by one, and sees from the statistics which shard each went to. @returns them by shard. */
export async function keysByShard(client: HttpClient, shards: number, perShard: number): Promise<string[][]> {
  const found: string[][] = Array.from({ length: shards }, () => []);
  for (let i = 0; found.some((own) => own.length < perShard); i++) {
    const before = (await client.stats()).shards;
    await client.put(`key-${i}`, 'v');
    const { shards: after } = await client.stats();
    found[after.findIndex(({ puts }, n) => puts > before[n].puts)].push(`key-${i}`);
  }
  return found;
}

export interface TimedAnswer {
  readonly answer: Answer;
  readonly startedMs: number;
  readonly tookMs: number;
}

/** Reads keys one after the other until told to stop, and keeps every answer. */
export class Reader {
  readonly answers: TimedAnswer[] = [];
  private isStopped = false;
  private readonly done: Promise<void>;
  private readonly client: HttpClient;

  constructor(port: number, keys: readonly string[]) {
    this.client = new HttpClient(port);
    this.done = this.read(keys);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.done;
    this.client.close();
  }

  private async read(keys: readonly string[]): Promise<void> {
    for (let i = 0; !this.isStopped; i++) {
      const startedMs = performance.now();
      const answer = await this.client.get(cachePath(keys[i % keys.length]));
      this.answers.push({ answer, startedMs, tookMs: performance.now() - startedMs });
    }
  }
}
