import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startOurs, startRedis } from '../lib/peers.ts';
import { atExit, freePort, temporaryDirectory } from '../lib/process.ts';
import { serverCpuMicros } from '../lib/usage.ts';
import { CONCURRENCIES, type Cell, type ClientName, type LoadJob, type LoadResult } from './plan.ts';

const PROGRAM = fileURLToPath(new URL('load.ts', import.meta.url));

/** Of each client and number of calls at once, before all rounds. */
const WARM_UP_MS = 4000;

/** One round of one cell. */
export interface Measurement extends Cell {
  readonly client: ClientName;
  readonly callsPerSecond: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  /** Of the client's process, for each call. */
  readonly clientMicros: number;
  /** Of all processes of the server, for each call. */
  readonly serverMicros: number;
  readonly faults: readonly string[];
}

/** A process whose processor time is looked at. */
interface Server {
  readonly port: number;
  /** Of the session that all its processes are in. */
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

export interface Servers {
  readonly ours: Server;
  readonly redis: Server;
}

export async function startServers(shards: number): Promise<Servers> {
  const ours = await startOurs(shards);
  const port = await freePort();
  const redis = await startRedis(join(temporaryDirectory('redis'), 'redis'), port);
  return { ours: { ...ours, pid: ours.pids[0] }, redis: { ...redis, port } };
}

/** One client in a process of its own, and the server that it asks. */
export class ClientProcess {
  readonly name: ClientName;
  private readonly server: Server;
  private readonly child: ChildProcess;

  private constructor(name: ClientName, server: Server, child: ChildProcess) {
    this.name = name;
    this.server = server;
    this.child = child;
  }

  static async start(name: ClientName, { ours, redis }: Servers): Promise<ClientProcess> {
    const server = name === 'ioredis' || name === 'node-redis' ? redis : ours;
    const child = fork(PROGRAM, [name, String(server.port)]);
    atExit(() => child.kill('SIGKILL'));
    await once(child, 'message');
    return new ClientProcess(name, server, child);
  }

  /** One round, after a short one that nobody looks at. */
  async measure(cell: Cell, milliseconds: number, warmUpMs: number): Promise<Measurement> {
    const { faults } = await this.run({ ...cell, milliseconds: warmUpMs, isChecked: true });
    const before = serverCpuMicros(this.server.pid);
    const { calls, seconds, cpuMicros, ...rest } = await this.run({
      ...cell,
      milliseconds,
      isChecked: false,
    });
    const serverMicros = serverCpuMicros(this.server.pid) - before;
    return {
      ...cell,
      ...rest,
      faults: [...faults, ...rest.faults],
      client: this.name,
      callsPerSecond: calls / seconds,
      clientMicros: cpuMicros / calls,
      serverMicros: serverMicros / calls,
    };
  }

  /** Runs code of client and server until the compiler has had its time. In a round some of it runs a hundred times only. */
  async warmUp(): Promise<void> {
    for (const concurrency of CONCURRENCIES) {
      await this.run({
        operation: '90 % GET',
        concurrency,
        valueBytes: 100,
        milliseconds: WARM_UP_MS,
        isChecked: true,
      });
    }
  }

  async stop(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.disconnect();
    await exited;
  }

  private run(job: LoadJob): Promise<LoadResult> {
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error(`the process of ${this.name} has ended`));
      this.child.once('exit', ended);
      this.child.once('message', (result: LoadResult) => {
        this.child.off('exit', ended);
        resolve(result);
      });
      this.child.send(job);
    });
  }
}
