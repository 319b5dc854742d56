import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { Doorbell } from '../../src/shared/doorbell.ts';
import type { ClientBatch, FromShard, LargePut, Payload, ToShard } from '../../src/shared/protocol.ts';
import { Mailbox } from '../../src/shards/mailbox.ts';
import type { PendingRequest } from '../../src/shards/pending-requests.ts';

/** A mailbox whose clock a test sets, and the shard's end of its port, which the test holds. */
export class FakeShard {
  readonly mailbox: Mailbox;
  readonly batches: string[] = [];
  readonly controls: Exclude<ToShard, string | LargePut | ClientBatch>[] = [];
  /** Batches, large PUTs and batches of clients, in order. */
  readonly requests: (string | LargePut | ClientBatch)[] = [];
  readonly doorbell = new Doorbell();
  nowMs = 1000;
  private readonly port: MessagePort;

  constructor(options: {
    readonly queueLimit: number;
    readonly deadlineMs: number;
    readonly maxPolledFor?: number;
  }) {
    const { port1, port2 } = new MessageChannel();
    this.port = port2;
    this.mailbox = new Mailbox(port1, this.doorbell, { maxPolledFor: 0, ...options, now: () => this.nowMs });
    port2.on('message', (message: ToShard) => this.take(message));
  }

  reply(message: FromShard, handedOver: ArrayBuffer[] = []): void {
    this.port.postMessage(message, handedOver);
    this.doorbell.answer();
  }

  /** How many messages have been posted, including those that the event loop has not delivered yet. */
  received(): number {
    for (;;) {
      const next: { message: ToShard } | undefined = receiveMessageOnPort(this.port);
      if (!next) return this.requests.length + this.controls.length;
      this.take(next.message);
    }
  }

  /** The id of a control request. */
  idOfControl(n: number): number {
    const request = this.controls[n];
    if (!('id' in request)) throw new Error(`a ${request.kind} message is not answered`);
    return request.id;
  }

  close(): void {
    this.mailbox.close();
    this.port.close();
  }

  private take(message: ToShard): void {
    if (typeof message === 'string') this.batches.push(message);
    if (typeof message === 'string' || message.kind === 'put' || message.kind === 'batch')
      this.requests.push(message);
    else this.controls.push(message);
  }
}

/** A request that keeps what it was settled with, to see that it is settled once. */
export class Recorder implements PendingRequest {
  readonly connection: object | undefined;
  readonly settled: { readonly code: number; readonly payload: Payload }[] = [];

  constructor(connection?: object) {
    this.connection = connection;
  }

  settle(code: number, payload: Payload): void {
    this.settled.push({ code, payload });
  }
}
