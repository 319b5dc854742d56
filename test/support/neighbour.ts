import { HttpClient, cachePath } from './http-client.ts';

const VALUES = ['small', 'v'.repeat(20_000), 'V'.repeat(200_000)];

/** A well-behaved client that writes and reads, one request after the other, for as long as others misbehave. */
export class Neighbour implements AsyncDisposable {
  requests = 0;
  slowestMs = 0;
  /** What was not as it should have been: empty, if it noticed nothing. */
  readonly surprises: string[] = [];
  private isStopped = false;
  private readonly client: HttpClient;
  private readonly done: Promise<void>;

  constructor(port: number) {
    this.client = new HttpClient(port);
    this.done = this.run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isStopped = true;
    await this.done;
    this.client.close();
  }

  private async run(): Promise<void> {
    for (let i = 0; !this.isStopped; i++) {
      const value = VALUES[i % VALUES.length];
      const key = `neighbour-${i % 10}`;
      try {
        const put = await this.timed(() => this.client.put(key, value));
        if (put.status !== 201) this.surprises.push(`PUT of ${value.length}: ${put.status} ${put.text}`);
        const get = await this.timed(() => this.client.get(cachePath(key)));
        if (get.text !== JSON.stringify({ status: 'OK', key, value })) {
          this.surprises.push(`GET of ${value.length}: ${get.status} ${get.text.slice(0, 100)}`);
        }
      } catch (error) {
        this.surprises.push(String(error));
      }
    }
  }

  private async timed<T>(call: () => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    const answer = await call();
    this.slowestMs = Math.max(this.slowestMs, performance.now() - startedMs);
    this.requests++;
    return answer;
  }
}
