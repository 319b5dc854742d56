import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@redis/client';
import { expect } from 'vitest';
import { freePort } from './free-port.ts';
import { isInstalled } from './run.ts';

export const HAS_REDIS = isInstalled('redis-server');

const CLUSTER_SLOTS = 16_384;

/** A client that speaks for somebody else than the cache. */
export type RedisClient = Awaited<ReturnType<typeof connectTo>>;

async function connectTo(port: number) {
  const client = createClient({
    socket: { host: '127.0.0.1', port, reconnectStrategy: false },
    disableClientInfo: true,
    maintNotifications: 'disabled',
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** A real server on a port of its own, without files. It is ended by its process id. */
export class RedisServer implements AsyncDisposable {
  readonly port: number;
  private readonly args: readonly string[];
  private readonly folder = mkdtempSync(join(tmpdir(), 'kvc-redis-'));
  private child: ChildProcess | undefined;
  private client: RedisClient | undefined;

  private constructor(port: number, args: readonly string[]) {
    this.port = port;
    this.args = args;
  }

  static async start(...args: string[]): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), args);
    await server.run();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.child!.pid!;
  }

  /** Starts it, again if it has been killed. It is empty then. */
  async run(): Promise<void> {
    const { port, folder, args } = this;
    const options = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder];
    const child = spawn('redis-server', [...options, '--save', '', '--appendonly', 'no', ...args], {
      stdio: 'ignore',
    });
    this.child = child;
    await expect
      .poll(async () => {
        this.client ??= await connectTo(port).catch(() => undefined);
        return this.client?.sendCommand(['PING']).catch(() => undefined);
      })
      .toBe('PONG');
  }

  /** Sends a command, as somebody else than the cache. */
  async command(...args: readonly string[]): Promise<unknown> {
    return this.client!.sendCommand(args);
  }

  signal(name: NodeJS.Signals): void {
    this.child!.kill(name);
  }

  async kill(): Promise<void> {
    const { child, client } = this;
    this.child = undefined;
    this.client = undefined;
    if (client?.isOpen) client.destroy();
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  /** How often it has carried out a command. */
  async calls(command: string): Promise<number> {
    const info = String(await this.command('INFO', 'commandstats'));
    return Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, 'm').exec(info)?.[1] ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function startNode(args: readonly string[]): Promise<RedisServer> {
  const busPort = String(await freePort());
  const options = ['--cluster-enabled', 'yes', '--cluster-port', busPort, '--cluster-node-timeout', '1000'];
  return RedisServer.start(...options, ...args);
}

/** A cluster of primaries, each of which has its share of the slots. */
export class RedisCluster implements AsyncDisposable {
  readonly nodes: readonly RedisServer[];

  private constructor(nodes: readonly RedisServer[]) {
    this.nodes = nodes;
  }

  static async start(size = 3, ...args: string[]): Promise<RedisCluster> {
    const nodes: RedisServer[] = [];
    for (let i = 0; i < size; i++) {
      const busPort = String(await freePort());
      const options = [
        '--cluster-enabled',
        'yes',
        '--cluster-port',
        busPort,
        '--cluster-node-timeout',
        '1000',
      ];
      nodes.push(await RedisServer.start(...options, ...args));
    }
    const share = Math.ceil(CLUSTER_SLOTS / size);
    for (const [i, node] of nodes.entries()) {
      const last = Math.min(CLUSTER_SLOTS, (i + 1) * share) - 1;
      await node.command('CLUSTER', 'ADDSLOTSRANGE', String(i * share), String(last));
      // Else all of them might choose the same epoch, and argue about it for a while.
      await node.command('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1));
    }
    const cluster = new RedisCluster(nodes);
    for (const node of nodes.slice(1)) await cluster.meet(nodes[0], node);
    await cluster.agreed();
    return cluster;
  }

  get url(): string {
    return `redis://${this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`;
  }

  /** Waits until all nodes say that the cluster is ok. */
  async agreed(): Promise<void> {
    for (const node of this.nodes) {
      await expect
        .poll(async () => String(await node.command('CLUSTER', 'INFO')))
        .toContain('cluster_state:ok');
      const known = async (): Promise<number> =>
        String(await node.command('CLUSTER', 'NODES')).match(/ connected/g)?.length ?? 0;
      await expect.poll(known).toBeGreaterThanOrEqual(this.nodes.length);
    }
  }

  /** Adds a node that takes the place of a primary when that dies. */
  async addReplicaOf(primary: RedisServer): Promise<RedisServer> {
    const replica = await startNode([
      '--repl-diskless-load',
      'on-empty-db',
      '--repl-diskless-sync-delay',
      '0',
    ]);
    await this.meet(primary, replica);
    const id = await this.idOf(primary);
    await expect.poll(async () => String(await replica.command('CLUSTER', 'NODES'))).toContain(id);
    await expect.poll(() => replica.command('CLUSTER', 'REPLICATE', id).catch(String)).toBe('OK');
    await expect.poll(async () => String(await replica.command('ROLE'))).toContain('connected');
    return replica;
  }

  /** The primary that serves a slot. */
  async ownerOf(slot: number): Promise<RedisServer> {
    const ranges = (await this.nodes[0].command('CLUSTER', 'SLOTS')) as [number, number, [string, number]][];
    const [, , [, port]] = ranges.find(([first, last]) => slot >= first && slot <= last)!;
    return this.nodes.find((node) => node.port === port)!;
  }

  async idOf(node: RedisServer): Promise<string> {
    return String(await node.command('CLUSTER', 'MYID'));
  }

  /** Moves a slot with its keys, as `redis-cli --cluster reshard` does. */
  async moveSlot(slot: number, from: RedisServer, to: RedisServer): Promise<void> {
    const [fromId, toId] = [await this.idOf(from), await this.idOf(to)];
    await to.command('CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', fromId);
    await from.command('CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', toId);
    for (;;) {
      const keys = (await from.command('CLUSTER', 'GETKEYSINSLOT', String(slot), '100')) as string[];
      if (keys.length === 0) break;
      await from.command('MIGRATE', '127.0.0.1', String(to.port), '', '0', '5000', 'KEYS', ...keys);
    }
    for (const node of [to, from, ...this.nodes.filter((one) => one !== to && one !== from)]) {
      await node.command('CLUSTER', 'SETSLOT', String(slot), 'NODE', toId);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()));
  }

  private async meet(one: RedisServer, other: RedisServer): Promise<void> {
    const busPort = /@(\d+)/.exec(String(await other.command('CLUSTER', 'NODES')))![1];
    await one.command('CLUSTER', 'MEET', '127.0.0.1', String(other.port), busPort);
  }
}
