import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { gunzipSync } from 'node:zlib';
import { expect, onTestFinished } from 'vitest';
import { Doorbell } from '../../src/shared/doorbell.ts';
import type { LargeValueReply } from '../../src/shared/large-values.ts';
import {
  BATCH_DONE,
  BATCH_MIXED,
  CLEARED,
  type ControlReply,
  type FromShard,
  HIT,
  HIT_GZIP,
  LATE,
  type SessionMessage,
  WAITING,
  decodeU16,
  decodeU32,
  isRawReply,
} from '../../src/shared/protocol.ts';
import { type EntryHead, decodeHead } from '../../src/shared/raw-entries.ts';
import { ThreadMeter } from '../../src/shared/thread-meter.ts';
import { Session } from '../../workers/session.ts';
import { ShardActor } from '../../workers/shard-actor.ts';
import { MIB, type SegmentSetup, createSegment } from './segments.ts';

/** An answer that followed, its payload as text. */
export interface Late {
  readonly ticket: number;
  readonly code: number;
  readonly payload: string;
  readonly head?: EntryHead | undefined;
}

export interface Reply {
  readonly code: number;
  /** The payload of a hit, else the number that came with the code. */
  readonly body: string | number;
  /** Of the reply to a raw request. */
  readonly head?: EntryHead;
}

/** Takes what an actor posts, and sorts it. */
function createReceiver() {
  const replies: Reply[] = [];
  /** What was posted, in its order. */
  const events: string[] = [];
  const controls: ControlReply[] = [];
  const largeReplies: LargeValueReply[] = [];
  const lateWaiters: ((late: Late) => void)[] = [];

  function take(message: FromShard): void {
    events.push(typeof message === 'string' ? 'replies' : message.kind);
    if (typeof message === 'string') {
      replies.push(...parse(message));
    } else if (message.kind === 'hit') {
      const { code, body, head } = message;
      replies.push({ code, body: textOf(body), ...(head !== undefined && { head: decodeHead(head) }) });
    } else if (message.kind === 'late') {
      const { payload, head } = message;
      const late = { ...message, payload: textOf(payload) };
      lateWaiters.shift()?.({ ...late, head: head === undefined ? undefined : decodeHead(head) });
    } else if (message.kind === 'upload' || message.kind === 'piece') {
      largeReplies.push(message);
    } else {
      controls.push(message);
    }
  }

  return { replies, events, controls, largeReplies, lateWaiters, take };
}

export function createActor(
  replyWindowBytes = 64 * MIB,
  replyCells = new Int32Array(1),
  setup: SegmentSetup = {},
) {
  const subject = createSegment(setup);
  const { replies, take, lateWaiters, ...received } = createReceiver();
  const deferred: (() => void)[] = [];
  let ms = 0;
  const actor = new ShardActor({
    store: subject.store,
    gzipThresholdBytes: 1024,
    shard: 0,
    replyCells,
    replyWindowBytes,
    deadlineMs: 1000,
    nowMs: () => ms++,
    defer,
    deferSlice: defer,
    readThread: () => new ThreadMeter(() => performance.now()).read(),
  });
  const { port1, port2 } = new MessageChannel();
  const session = new Session(port2, new Doorbell());
  onTestFinished(() => port1.close());
  port1.on('message', take);

  function defer(task: () => void): void {
    deferred.push(() => {
      task();
      takePosted();
    });
  }

  function handle(message: SessionMessage): void {
    actor.handle(session, message);
    takePosted();
  }

  function takePosted(): void {
    for (const message of messagesIn(port1)) take(message);
  }

  return {
    ...subject,
    ...received,
    replies,
    actor,
    session,
    handle,
    deferred,
    /** Sends one batch. @returns all replies to it. */
    ask: (...requests: readonly string[]): Reply[] => {
      handle(requests.join(''));
      return replies.splice(0);
    },
    nextLate: (): Promise<Late> => {
      const { promise, resolve } = Promise.withResolvers<Late>();
      lateWaiters.push(resolve);
      return promise;
    },
  };
}

/** The messages that lie in a port. */
function* messagesIn(port: MessagePort): Generator<FromShard> {
  for (;;) {
    const posted: { message: FromShard } | undefined = receiveMessageOnPort(port);
    if (!posted) return;
    yield posted.message;
  }
}

function textOf(payload: string | Uint8Array<ArrayBuffer>): string {
  return typeof payload === 'string' ? payload : Buffer.from(payload).toString('latin1');
}

function parse(text: string): Reply[] {
  const replies: Reply[] = [];
  for (let at = 0; at < text.length;) {
    const code = text.charCodeAt(at++);
    if (code === HIT || code === HIT_GZIP || code === BATCH_DONE || code === BATCH_MIXED) {
      const end = at + 4 + decodeU32(text, at);
      replies.push({ code, body: text.slice(at + 4, end) });
      at = end;
    } else if (code === CLEARED || code === LATE || code === WAITING) {
      replies.push({ code, body: decodeU32(text, at) });
      at += 4;
    } else if (isRawReply(code)) {
      const bodyStart = at + 6 + decodeU16(text, at);
      const end = bodyStart + decodeU32(text, at + 2);
      replies.push({
        code,
        body: text.slice(bodyStart, end),
        head: decodeHead(text.slice(at + 6, bodyStart)),
      });
      at = end;
    } else {
      replies.push({ code, body: '' });
    }
  }
  return replies;
}

export function valueIn(body: string): string {
  return (JSON.parse(body) as { value: string }).value;
}

export function gunzip(body: string): string {
  return gunzipSync(Buffer.from(body, 'latin1')).toString('latin1');
}

export function expectBody(reply: Reply): string {
  expect(reply.code).toBeOneOf([HIT, HIT_GZIP]);
  return reply.code === HIT ? (reply.body as string) : gunzip(reply.body as string);
}
