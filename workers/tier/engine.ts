import { addressText } from '../../src/shared/tier.ts';
import { type Command, type Connection, isRefusal, messageOf } from './connection.ts';
import { Nodes, type NodesOptions } from './nodes.ts';
import { KEY_PREFIX } from './record.ts';
import { readRedirect } from './slots.ts';

export interface EngineOptions extends NodesOptions {
  /** A node has said no to a request: it is full, or its rules forbid it. */
  readonly onRefusal: (address: string, reason: string) => void;
}

/** The engine cannot be asked now. */
export class EngineGone extends Error {}

const MAX_REDIRECTS = 5;
const SCAN_COUNT = 1000;
/** A cursor of a listing has the number of a primary before the cursor that this one gave. */
const CURSORS_OF_NODE = 2 ** 42;

/**
 * Sends commands to a server or cluster of Redis or Valkey, and follows redirections. A command fails at once while the
 * primary of its key is gone.
 */
export class Engine {
  readonly nodes: Nodes;
  private readonly onRefusal: EngineOptions['onRefusal'];

  constructor({ onRefusal, ...options }: EngineOptions) {
    this.nodes = new Nodes(options);
    this.onRefusal = onRefusal;
  }

  /**
   * Sends commands of one key, one behind the other.
   * @throws EngineGone, or what the engine says against them.
   */
  async run(key: string, commands: readonly Command[]): Promise<unknown[]> {
    const { nodes } = this;
    let { connection } = nodes.ofKey(key) ?? {};
    let isAsked = false;
    for (let redirects = 0; ; redirects++) {
      if (!connection?.isUp) throw new EngineGone('the engine is gone');
      try {
        return await this.send(connection, commands, isAsked);
      } catch (error) {
        const redirect = readRedirect(messageOf(error), connection.address);
        if (!redirect || redirects === MAX_REDIRECTS) throw error;
        isAsked = redirect.kind === 'ASK';
        if (!isAsked) await nodes.refresh(connection);
        const node = isAsked ? nodes.at(redirect.to) : nodes.ofKey(key);
        if (node && !node.connection?.isUp) await nodes.open(node);
        connection = node?.connection;
      }
    }
  }

  /** Removes every key with the prefix. @returns how many there were. */
  async clear(): Promise<number> {
    const connections = this.nodes.primaries();
    if (connections.some((connection) => !connection?.isUp)) throw new EngineGone('the engine is gone');
    const counts = await Promise.all(connections.map((connection) => this.clearNode(connection!)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /**
   * Some of the keys that begin with `prefix`. Some may come twice.
   * @param cursor 0 for the first page, else that of the page before.
   */
  async listKeys(prefix: string, cursor: number): Promise<{ keys: string[]; cursor?: number }> {
    const connections = this.nodes.primaries();
    const number = Math.floor(cursor / CURSORS_OF_NODE);
    const connection = connections[number];
    if (!connection?.isUp) throw new EngineGone('the engine is gone');
    const pattern = `${KEY_PREFIX}${prefix.replaceAll(/[\\*?[\]^-]/g, String.raw`\$&`)}*`;
    const at = String(cursor % CURSORS_OF_NODE);
    const scan = ['SCAN', at, 'MATCH', pattern, 'COUNT', String(SCAN_COUNT)];
    const [[next, names]] = (await this.send(connection, [scan], false)) as [[Buffer, Buffer[]]];
    const keys = names.map((name) => name.toString('latin1', KEY_PREFIX.length));
    const nextAt = Number(next.toString('latin1'));
    if (nextAt > 0) return { keys, cursor: number * CURSORS_OF_NODE + nextAt };
    return number + 1 < connections.length ? { keys, cursor: (number + 1) * CURSORS_OF_NODE } : { keys };
  }

  private async clearNode(connection: Connection): Promise<number> {
    let removed = 0;
    let cursor = '0';
    do {
      const scan = ['SCAN', cursor, 'MATCH', `${KEY_PREFIX}*`, 'COUNT', String(SCAN_COUNT)];
      const [[next, names]] = (await this.send(connection, [scan], false)) as [[Buffer, Buffer[]]];
      cursor = next.toString('latin1');
      for (const [count] of await this.unlink(connection, names)) removed += count as number;
    } while (cursor !== '0');
    return removed;
  }

  private async unlink(connection: Connection, names: readonly Buffer[]): Promise<unknown[][]> {
    if (names.length === 0) return [];
    if (!connection.isCluster) return [await this.send(connection, [['UNLINK', ...names]], false)];
    // A command of several keys may only have those of one slot.
    return Promise.all(
      names.map((name) => this.run(name.toString('latin1', KEY_PREFIX.length), [['UNLINK', name]])),
    );
  }

  private async send(
    connection: Connection,
    commands: readonly Command[],
    isAsked: boolean,
  ): Promise<unknown[]> {
    try {
      return await connection.send(commands, isAsked);
    } catch (error) {
      if (isRefusal(error)) this.onRefusal(addressText(connection.address), messageOf(error));
      throw error;
    }
  }
}
