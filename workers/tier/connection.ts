import { ErrorReply, createClient } from '@redis/client';
import type { TierAddress, TierStart } from '../../src/shared/tier.ts';
import { KEY_PREFIX } from './record.ts';
import { type SlotRange, readSlotRanges, textOf } from './slots.ts';

export type Command = readonly (string | Buffer)[];

export interface ConnectionOptions {
  readonly address: TierAddress;
  readonly start: TierStart;
  /** A key has been changed by somebody else; null: any may have been. */
  readonly onInvalidate: (key: string | null) => void;
  /** Called once, when a connection that was open has ended. */
  readonly onEnd: (reason: string) => void;
  readonly nowMs: () => number;
}

const CONNECT_TIMEOUT_MS = 1000;
/** A node that has not answered a ping for this long is taken for gone. */
const SILENCE_LIMIT_MS = 1000;
/** The type of bulk strings in RESP. */
const BULK_STRING = 36;

type Client = ReturnType<typeof createEngineClient>;

/**
 * One life of a connection to a node of the engine. It carries requests, and announcements of changed keys, in the order in
 * which the node made them. It never comes back: what replaces it is another one, so that nobody mistakes the one for the
 * other.
 */
export class Connection {
  readonly address: TierAddress;
  isCluster = false;
  isUp = false;

  private readonly options: ConnectionOptions;
  private readonly client: Client;
  private pingedAtMs: number | undefined;

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.address = options.address;
    this.client = createEngineClient(options.address, options.start);
    this.client.on('error', (error: Error) => this.end(error.message));
    this.client.on('end', () => this.end('the connection was closed'));
    this.client.on('invalidate', (key: Buffer | null) => this.invalidate(key));
  }

  /** @throws when the node cannot be used. */
  async open(): Promise<void> {
    const { client } = this;
    await client.connect();
    // The client turned tracking on in another mode, which must be left first.
    await client.sendCommand(['CLIENT', 'TRACKING', 'OFF']);
    await client.sendCommand(['CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', KEY_PREFIX, 'NOLOOP']);
    this.isCluster = textOf(await client.sendCommand(['INFO', 'cluster'])).includes('cluster_enabled:1');
    await this.checkHealth();
    this.isUp = true;
  }

  /** Sends commands one behind the other. @param isAsked whether the node has to be told that it was named by ASK. */
  send(commands: readonly Command[], isAsked: boolean): Promise<unknown[]> {
    const replies = commands.map((command) => {
      // Refused where it is not needed: a refusal changes nothing.
      if (isAsked) this.client.sendCommand(['ASKING']).catch(() => undefined);
      return this.client.sendCommand([...command]);
    });
    return Promise.all(replies);
  }

  async slotRanges(): Promise<SlotRange[]> {
    return readSlotRanges(await this.client.sendCommand(['CLUSTER', 'SLOTS']), this.address);
  }

  /** To be called often: pings the node, and ends the connection if the node has been silent for too long. */
  heartbeat(): void {
    const { nowMs } = this.options;
    if (!this.isUp) return;
    if (this.pingedAtMs === undefined) {
      this.pingedAtMs = nowMs();
      this.checkHealth().then(
        () => (this.pingedAtMs = undefined),
        (error: unknown) => this.close(messageOf(error)),
      );
    } else if (nowMs() - this.pingedAtMs > SILENCE_LIMIT_MS) {
      this.close(`no answer for ${SILENCE_LIMIT_MS} ms`);
    }
  }

  /** Ends it. Requests under way fail. */
  close(reason: string): void {
    this.end(reason);
    if (this.client.isOpen) this.client.destroy();
  }

  /** @throws when the node cannot serve: in a cluster, a node that is cut off from the others says so. */
  private async checkHealth(): Promise<void> {
    if (!this.isCluster) {
      await this.client.sendCommand(['PING']);
      return;
    }
    const info = textOf(await this.client.sendCommand(['CLUSTER', 'INFO']));
    if (!info.includes('cluster_state:ok')) throw new Error('its cluster is not ok');
  }

  private invalidate(key: Buffer | null): void {
    this.options.onInvalidate(key === null ? null : key.toString('latin1', KEY_PREFIX.length));
  }

  private end(reason: string): void {
    if (!this.isUp) return;
    this.isUp = false;
    this.options.onEnd(reason);
  }
}

function createEngineClient({ host, port }: TierAddress, start: TierStart) {
  const { isTls, username, password, database } = start;
  return createClient({
    RESP: 3,
    emitInvalidate: true,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: 'disabled',
    // A connection that comes back by itself would hide what was missed meanwhile.
    socket: {
      host,
      port,
      connectTimeout: CONNECT_TIMEOUT_MS,
      reconnectStrategy: false,
      ...(isTls && { tls: true }),
    },
    ...(username !== '' && { username }),
    ...(password !== '' && { password }),
    database,
    // No timer for each command: a node that does not answer is noticed by its heartbeat.
    commandOptions: { typeMapping: { [BULK_STRING]: Buffer }, timeout: 0 },
  });
}

/** Whether a node has said no to a request that it should have carried out: what it is sent elsewhere for, is none. */
export function isRefusal(error: unknown): boolean {
  return error instanceof ErrorReply && !/^(MOVED|ASK|WRONGTYPE) /.test(error.message);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
