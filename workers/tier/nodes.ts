import { type TierAddress, type TierNode, type TierStart, addressText } from '../../src/shared/tier.ts';
import { Connection, messageOf } from './connection.ts';
import { KEY_PREFIX } from './record.ts';
import { CLUSTER_SLOTS, type SlotRange, clusterSlot } from './slots.ts';

export interface NodesOptions {
  readonly start: TierStart;
  /** A key has been changed by somebody else; null: any may have been. */
  readonly onInvalidate: (key: string | null) => void;
  /** Changes may have been missed from now on: no copy may be used any more. */
  readonly onEpoch: () => void;
  readonly onChange: (node: TierNode, reason: string) => void;
  readonly nowMs: () => number;
}

const HEARTBEAT_INTERVAL_MS = 250;
/** How often a cluster is asked who serves which slots. */
const TOPOLOGY_INTERVAL_MS = 1000;
const OPEN_DEADLINE_MS = 2000;
const RETRY_DELAY_MS = 500;

export interface Node {
  readonly address: TierAddress;
  connection: Connection | undefined;
  opening: Promise<void> | undefined;
  retryAtMs: number;
  /** Whether it was reported as up or as gone; undefined before the first attempt. */
  reported: boolean | undefined;
}

/**
 * The nodes of a server or cluster of Redis or Valkey, with one connection to each primary. It knows the primary of each
 * key, and connects again by itself.
 */
export class Nodes {
  private readonly options: NodesOptions;
  /** By address: the primaries, and until they are known the first addresses. */
  private readonly nodes = new Map<string, Node>();
  /** The address of each slot's primary, in a cluster whose slots are known. */
  private slots: string[] | undefined;
  private refreshing: Promise<void> | undefined;
  private refreshedAtMs = -Infinity;
  private tickedAtMs: number;
  private isPutOff = false;

  constructor(options: NodesOptions) {
    this.options = options;
    this.tickedAtMs = options.nowMs();
    setInterval(() => this.tick(), HEARTBEAT_INTERVAL_MS);
    for (const address of options.start.nodes) this.at(address);
  }

  get state(): TierNode[] {
    return [...this.nodes].map(([address, { connection }]) => ({ address, isUp: connection?.isUp === true }));
  }

  /** @returns when it is connected, or the first attempt has failed. */
  async connect(): Promise<void> {
    await Promise.all([...this.nodes.values()].map((node) => this.open(node)));
    // Those that the first ones have named.
    await Promise.all([...this.nodes.values()].flatMap(({ opening }) => opening ?? []));
  }

  /** The connections to all primaries; undefined for one that is gone. */
  primaries(): (Connection | undefined)[] {
    if (!this.slots) return [this.only()?.connection];
    return [...new Set(this.slots)].map((address) => this.nodes.get(address)?.connection);
  }

  /** The primary of a key; undefined where it is not known. */
  ofKey(key: string): Node | undefined {
    const { slots } = this;
    if (slots) return this.nodes.get(slots[clusterSlot(KEY_PREFIX + key)]);
    const only = this.only();
    // The slots of a cluster are not known yet.
    return only?.connection?.isCluster === true || this.nodes.size > 1 ? undefined : only;
  }

  /** The node at an address, which may be new. */
  at(address: TierAddress): Node {
    const name = addressText(address);
    let node = this.nodes.get(name);
    if (!node) {
      node = { address, connection: undefined, opening: undefined, retryAtMs: 0, reported: undefined };
      this.nodes.set(name, node);
    }
    return node;
  }

  /** The one server, where it is no cluster. */
  private only(): Node | undefined {
    const [first] = this.nodes.values();
    return first;
  }

  private tick(): void {
    const nowMs = this.options.nowMs();
    // If this thread was blocked, answers may lie in its sockets. They are read before the next tick.
    this.isPutOff = nowMs - this.tickedAtMs > 2 * HEARTBEAT_INTERVAL_MS && !this.isPutOff;
    this.tickedAtMs = nowMs;
    if (this.isPutOff) return;
    for (const node of this.nodes.values()) {
      node.connection?.heartbeat();
      if (!node.connection?.isUp && nowMs >= node.retryAtMs) void this.open(node);
    }
    if (nowMs - this.refreshedAtMs < TOPOLOGY_INTERVAL_MS) return;
    const known = [...this.nodes.values()].map(({ connection }) => connection).filter((one) => one?.isUp);
    if (known.length > 0) {
      // In turn: one of them may have been cut off from the others.
      const asked = known[Math.floor(nowMs / TOPOLOGY_INTERVAL_MS) % known.length]!;
      if (asked.isCluster) void this.refresh(asked);
    } else if (this.slots) {
      for (const address of this.options.start.nodes) this.at(address);
    }
  }

  /** Connects to a node that is not connected. Never throws: its state says whether it went well. */
  open(node: Node): Promise<void> {
    if (node.connection?.isUp) return Promise.resolve();
    node.opening ??= this.tryToOpen(node).finally(() => (node.opening = undefined));
    return node.opening;
  }

  private async tryToOpen(node: Node): Promise<void> {
    const { start, nowMs, onInvalidate } = this.options;
    const connection = new Connection({
      address: node.address,
      start,
      nowMs,
      onInvalidate,
      onEnd: (reason) => this.connectionEnded(node, connection, reason),
    });
    const deadline = setTimeout(() => connection.close(''), OPEN_DEADLINE_MS);
    try {
      await connection.open();
      if (!connection.isCluster && this.options.start.nodes.length > 1) {
        throw new Error('several addresses are those of a cluster, and this is none');
      }
      // It may have turned out meanwhile that this node serves nothing.
      if (this.nodes.get(addressText(node.address)) !== node) {
        connection.close('');
        return;
      }
      node.connection = connection;
      if (connection.isCluster) await this.refresh(connection);
      if (node.connection === connection) this.report(node, true, '');
    } catch (error) {
      node.connection = undefined;
      connection.close('');
      node.retryAtMs = nowMs() + RETRY_DELAY_MS;
      this.report(node, false, messageOf(error));
    } finally {
      clearTimeout(deadline);
    }
  }

  private connectionEnded(node: Node, connection: Connection, reason: string): void {
    if (node.connection !== connection) return;
    node.connection = undefined;
    node.retryAtMs = this.options.nowMs();
    this.options.onEpoch();
    this.report(node, false, reason);
  }

  private report(node: Node, isUp: boolean, reason: string): void {
    if (node.reported === isUp) return;
    node.reported = isUp;
    this.options.onChange({ address: addressText(node.address), isUp }, reason);
  }

  /** Asks a node of the cluster who serves which slots. */
  refresh(connection: Connection): Promise<void> {
    this.refreshing ??= this.tryToRefresh(connection).finally(() => (this.refreshing = undefined));
    return this.refreshing;
  }

  private async tryToRefresh(connection: Connection): Promise<void> {
    this.refreshedAtMs = this.options.nowMs();
    try {
      this.useRanges(await connection.slotRanges());
    } catch {
      // It has ended, or cannot say: another one is asked next time.
    }
  }

  private useRanges(ranges: readonly SlotRange[]): void {
    const slots = Array.from({ length: CLUSTER_SLOTS }, () => '');
    const primaries = new Map<string, TierAddress>();
    for (const { from, to, primary } of ranges) {
      const name = addressText(primary);
      primaries.set(name, primary);
      slots.fill(name, from, to + 1);
    }
    if (primaries.size === 0 || this.slots?.every((name, slot) => name === slots[slot])) return;
    this.slots = slots;
    this.options.onEpoch();
    for (const [name, node] of this.nodes) {
      if (primaries.has(name)) continue;
      const { connection } = node;
      this.nodes.delete(name);
      node.connection = undefined;
      connection?.close('it serves no slots');
    }
    for (const address of primaries.values()) void this.open(this.at(address));
  }
}
