import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { onTestFinished } from 'vitest';
import { type MailboxOptions, Mailbox } from '../../src/shards/mailbox.ts';
import { Doorbell } from '../../src/shared/doorbell.ts';
import { Ledger } from '../../src/shared/ledger.ts';
import { type Connect, type Payload, bytesOf } from '../../src/shared/protocol.ts';
import type { ReplyPayload } from '../../src/shared/reply-memory.ts';
import type { ShardStart } from '../../src/shared/shard-start.ts';

const MIB = 2 ** 20;
const MODULE = new URL('../../workers/shard-worker.ts', import.meta.url).href;
/** Runs the task of a shard's thread without Piscina. */
const BOOT = `
  const { module, ...task } = require('node:worker_threads').workerData;
  import(module).then((shard) => shard.default(task));`;

/** One HTTP thread's end of a session: the raw port, until `createMailbox` takes it. */
export interface Front {
  readonly port: MessagePort;
  readonly doorbell: Doorbell;
}

/** A shard on a real thread, with as many sessions as a test opens. */
export class ShardThread {
  readonly replyCells = new Int32Array(new SharedArrayBuffer(4));
  readonly first: Front;
  readonly ledger: Ledger;
  private readonly ports: MessagePort[] = [];

  constructor(options: Partial<ShardStart> = {}, ceilingBytes = 256 * MIB) {
    const doorbell = new Doorbell();
    this.ledger = Ledger.create(1, { ceiling: ceilingBytes, guarantee: 8 * MIB, unit: 1024 });
    const start: ShardStart = {
      shard: 0,
      ledger: this.ledger.buffer,
      ledgerUnitBytes: 1024,
      entryLedger: undefined,
      seed: [1, 2],
      doorbell: doorbell.buffers,
      pollsForRequests: false,
      gzipThresholdBytes: 1024,
      replyCells: this.replyCells.buffer,
      replyWindowBytes: MIB,
      deadlineMs: 60_000,
      tagSeed: [5, 6],
      checksIntegrity: false,
      ...options,
    };
    const { port1, port2 } = new MessageChannel();
    const workerData = { module: MODULE, port: port2, start };
    const worker = new Worker(BOOT, { eval: true, workerData, transferList: [port2] });
    this.first = { port: port1, doorbell };
    this.ports.push(port1);
    onTestFinished(async () => {
      for (const port of this.ports) port.close();
      await worker.terminate();
    });
  }

  /** Asks for one more session through one that is open. */
  connect(through: Front): Front {
    const { port1, port2 } = new MessageChannel();
    this.ports.push(port1);
    const doorbell = this.first.doorbell.forAnotherSession();
    const message: Connect = { kind: 'connect', port: port2, doorbell: doorbell.buffers };
    through.port.postMessage(message, [port2]);
    through.doorbell.ring();
    return { port: port1, doorbell };
  }
}

/** A mailbox as the product has it, on a session's port. */
export function createMailbox({ port, doorbell }: Front, options: Partial<MailboxOptions> = {}): Mailbox {
  return new Mailbox(port, doorbell, {
    queueLimit: 1024,
    deadlineMs: 60_000,
    now: () => performance.now(),
    maxPolledFor: 0,
    ...options,
  });
}

/** A payload that stays as it is when its memory is given back. */
export function copyOf(payload: ReplyPayload): Payload {
  return typeof payload === 'string' ? payload : bytesOf(payload);
}

export interface Settled {
  readonly code: number;
  readonly payload: Payload;
}

/** Sends one request. @returns its reply; a large one is acknowledged at once. */
export function ask(mailbox: Mailbox, request: Parameters<Mailbox['send']>[0]): Promise<Settled> {
  return new Promise((resolve) => {
    mailbox.send(request, {
      connection: undefined,
      settle: (code, payload, delivered) => {
        const kept = copyOf(payload);
        delivered?.();
        resolve({ code, payload: kept });
      },
    });
  });
}
