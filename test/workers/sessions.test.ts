import { MessageChannel, Worker, receiveMessageOnPort } from 'node:worker_threads';
import { gunzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Mailbox } from '../../src/shards/mailbox.ts';
import { Doorbell } from '../../src/shared/doorbell.ts';
import { ThreadMeter } from '../../src/shared/thread-meter.ts';
import {
  BUSY,
  DELETED,
  type FromShard,
  HANDED_OVER_BYTES,
  HIT,
  HIT_GZIP,
  MISS,
  STORED,
  type ToShard,
  UNAVAILABLE,
  decodeU16,
  encodeDelete,
  encodeGet,
  encodePut,
  keyStart,
  requestEnd,
} from '../../src/shared/protocol.ts';
import { Session } from '../../workers/session.ts';
import { ShardActor } from '../../workers/shard-actor.ts';
import { Recorder } from '../support/fake-shard.ts';
import { type Operation, isLinearizable } from '../support/linearizable.ts';
import { Random, printedSeed } from '../support/random.ts';
import { MIB, createSegment } from '../support/segments.ts';
import { type Front, type Settled, ShardThread, ask, createMailbox } from '../support/shard-thread.ts';

/** Short; long enough for gzip; handed over; compressed on another thread. */
const FILLERS = [0, 3000, HANDED_OVER_BYTES, 70_000].map((bytes) => ' '.repeat(bytes));
const SHARED_KEYS = 3;

function put(mailbox: Mailbox, key: string, value: string): Promise<Settled> {
  const isLarge = value.length >= HANDED_OVER_BYTES;
  return ask(mailbox, isLarge ? { key, value, ttlMs: 0 } : encodePut(key, value, 0));
}

/** The value of a hit, after a look at its key; null for a miss. */
function valueIn(key: string, { code, payload }: Settled): string | null {
  if (code === MISS) return null;
  const bytes = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload;
  const text = code === HIT_GZIP ? gunzipSync(bytes).toString('latin1') : Buffer.from(bytes).toString();
  const body = JSON.parse(text) as { key: string; value: string };
  expect([code, body.key]).toEqual([code === HIT_GZIP ? HIT_GZIP : HIT, key]);
  return body.value;
}

/** One HTTP thread that asks for random things, a few at once, and remembers what it was told. */
class Client {
  readonly wrong: string[] = [];
  private readonly own = new Map<string, string>();
  private readonly name: string;
  private readonly mailbox: Mailbox;
  private readonly random: Random;
  private readonly history: History;
  private puts = 0;

  constructor(name: string, mailbox: Mailbox, random: Random, history: History) {
    this.name = name;
    this.mailbox = mailbox;
    this.random = random;
    this.history = history;
  }

  /** Asks for `count` things at once. @returns when all are answered. */
  async burst(count: number): Promise<void> {
    await Promise.all(
      Array.from({ length: count }, () => (this.random.chance(0.5) ? this.askOwn() : this.askShared())),
    );
  }

  private nextValue(): string {
    return `${this.name} ${this.puts++}${FILLERS[this.random.whole(0, FILLERS.length - 1)]}`;
  }

  /** Nobody else writes these keys, and requests of one session keep their order: each reply is known. */
  private async askOwn(): Promise<void> {
    const key = `${this.name}-${this.random.whole(0, 3)}`;
    if (this.random.chance(0.4)) {
      const value = this.nextValue();
      this.own.set(key, value);
      if ((await put(this.mailbox, key, value)).code !== STORED) this.wrong.push(`${key} was not stored`);
      return;
    }
    const expected = this.own.get(key) ?? null;
    const settled = await ask(this.mailbox, encodeGet(key, this.random.chance(0.5)));
    // It waited for room until the next put.
    if (settled.code === BUSY) return;
    const value = valueIn(key, settled);
    if (value !== expected) this.wrong.push(`${key}: ${value?.slice(0, 40)}, not ${expected?.slice(0, 40)}`);
  }

  private async askShared(): Promise<void> {
    const key = this.random.whole(0, SHARED_KEYS - 1);
    const name = this.history.nameOf(key);
    const chance = this.random.next();
    if (chance < 0.3) {
      const value = this.nextValue();
      await this.history.note(key, async () => {
        const { code } = await put(this.mailbox, name, value);
        expect(code).toBe(STORED);
        return { kind: 'put', value };
      });
    } else if (chance < 0.4) {
      await this.history.note(key, async () => {
        const { code } = await ask(this.mailbox, encodeDelete(name));
        return { kind: 'delete', value: null, wasThere: code === DELETED };
      });
    } else {
      await this.history.note(key, async () => {
        const settled = await ask(this.mailbox, encodeGet(name, this.random.chance(0.5)));
        return settled.code === BUSY ? undefined : { kind: 'get', value: valueIn(name, settled) };
      });
    }
  }
}

/** What was done to the keys that all clients share, in some rounds of fresh keys. */
class History {
  operations = 0;
  private round = 0;
  private order = 0;
  private keys: Operation[][] = [];

  /** @returns whether the last round's answers are possible if each key has one order of operations. */
  next(): boolean {
    const isPossible = this.keys.every(isLinearizable);
    this.round++;
    this.keys = Array.from({ length: SHARED_KEYS }, () => []);
    return isPossible;
  }

  nameOf(key: number): string {
    return `shared-${this.round}-${key}`;
  }

  async note(
    key: number,
    operate: () => Promise<Pick<Operation, 'kind' | 'value' | 'wasThere'> | undefined>,
  ): Promise<void> {
    const sentAt = this.order++;
    const operation = await operate();
    if (operation) this.keys[key].push({ ...operation, sentAt, answeredAt: this.order++ });
    this.operations++;
  }
}

async function expectOneOrder(mailboxes: readonly Mailbox[], rounds: number): Promise<void> {
  const seed = printedSeed('sessions');
  const history = new History();
  const clients = mailboxes.map(
    (mailbox, i) => new Client(`client${i}`, mailbox, new Random(seed + i), history),
  );
  for (let round = 0; round < rounds; round++) {
    history.next();
    for (let burst = 0; burst < 3; burst++) await Promise.all(clients.map((client) => client.burst(12)));
    expect(history.next(), `round ${round}`).toBe(true);
  }
  expect(clients.flatMap(({ wrong }) => wrong)).toEqual([]);
  expect(history.operations).toBeGreaterThan(rounds * 20);
}

/** Stores values of which each takes most of the reply window, and `small`. */
async function fill(mailbox: Mailbox): Promise<void> {
  for (const key of ['a', 'b', 'c']) await put(mailbox, key, key.repeat(0.8 * MIB));
  await put(mailbox, 'small', 'x');
}

/** Waits for the first message of a session. */
async function ready({ port }: Front): Promise<void> {
  const messages: FromShard[] = [];
  const keep = (message: FromShard): void => void messages.push(message);
  port.on('message', keep);
  await expect.poll(() => messages).toEqual([{ kind: 'ready' }]);
  port.off('message', keep);
}

function keysIn(batch: string): string[] {
  const keys: string[] = [];
  for (let at = 0; at < batch.length; at = requestEnd(batch, at)) {
    const from = keyStart(batch.charCodeAt(at), at);
    keys.push(batch.slice(from, from + decodeU16(batch, at + 1)));
  }
  return keys;
}

describe('two sessions of a shard on its own thread', () => {
  test('have one order for each key, and get their own replies only', async () => {
    const shard = new ShardThread();
    const second = shard.connect(shard.first);
    const mailboxes = [createMailbox(shard.first), createMailbox(second)];
    await expectOneOrder(mailboxes, 40);
    for (const mailbox of mailboxes) mailbox.sweepDeadlines();
    await expect.poll(() => shard.replyCells[0]).toBe(0);
  });

  test('that closes with replies pending takes only its own, and what it has taken of the window comes back', async () => {
    const shard = new ShardThread();
    const staying = createMailbox(shard.connect(shard.first));
    const closing = createMailbox(shard.first);
    await fill(staying);
    // Its first two replies are never acknowledged and fill the window; the others wait for room.
    const recorders = ['a', 'b', 'c', 'a'].map((key) => {
      const recorder = new Recorder();
      closing.send(encodeGet(key, false), recorder);
      return recorder;
    });
    await expect.poll(() => recorders.filter(({ settled }) => settled.length > 0).length).toBe(2);
    await expect.poll(() => closing.awaitsReplyRoom).toBe(true);
    const waiting = ask(staying, encodeGet('b', false));
    const compressed = ask(staying, encodeGet('c', true));
    await expect.poll(() => staying.awaitsReplyRoom).toBe(true);
    expect(shard.replyCells[0]).toBeGreaterThan(1.6 * MIB);

    closing.close();
    expect(valueIn('b', await waiting)).toBe('b'.repeat(0.8 * MIB));
    expect(valueIn('c', await compressed)).toBe('c'.repeat(0.8 * MIB));
    expect(recorders.map(({ settled }) => settled.map(({ code }) => code))).toEqual([
      [HIT],
      [HIT],
      [UNAVAILABLE],
      [UNAVAILABLE],
    ]);
    await expect.poll(() => shard.replyCells[0]).toBe(0);
    expect(valueIn('small', await ask(staying, encodeGet('small', false)))).toBe('x');
  });

  test('that closes while its bodies are being compressed leaves nothing of the window taken', async () => {
    const shard = new ShardThread();
    const staying = createMailbox(shard.connect(shard.first));
    const closing = createMailbox(shard.first);
    await fill(staying);
    for (let i = 0; i < 300; i++) await put(staying, `text-${i}`, `text ${i} `.repeat(500));
    for (let i = 0; i < 300; i++) closing.send(encodeGet(`text-${i}`, true), new Recorder());
    closing.send(encodeGet('a', true), new Recorder());
    const joined = ask(staying, encodeGet('a', true));
    await expect.poll(() => shard.replyCells[0]).toBeGreaterThan(0);
    closing.close();
    expect(valueIn('a', await joined)).toBe('a'.repeat(0.8 * MIB));
    for (let i = 0; i < 300; i++) {
      expect(valueIn(`text-${i}`, await ask(staying, encodeGet(`text-${i}`, true)))).toContain(`text ${i} `);
    }
    await expect.poll(() => shard.replyCells[0]).toBe(0);
  });

  test('whose thread dies is followed by another, opened through any that is left', async () => {
    const shard = new ShardThread();
    const staying = shard.connect(shard.first);
    const dying = shard.first;
    await ready(staying);
    await ready(dying);
    staying.port.postMessage(['a', 'b'].map((key) => encodePut(key, key.repeat(0.4 * MIB), 0)).join(''));
    await expect.poll(() => receiveMessageOnPort(staying.port)).not.toBeUndefined();
    const thread = new Worker(
      `const { port, requests } = require('node:worker_threads').workerData;
       port.postMessage(requests);
       port.on('message', () => undefined);`,
      {
        eval: true,
        workerData: { port: dying.port, requests: encodeGet('a', false) + encodeGet('b', false) },
        transferList: [dying.port],
      },
    );
    await expect.poll(() => shard.replyCells[0]).toBeGreaterThan(0.8 * MIB);
    await thread.terminate();
    await expect.poll(() => shard.replyCells[0]).toBe(0);

    const following = createMailbox(shard.connect(staying));
    expect(valueIn('a', await ask(following, encodeGet('a', false)))).toBe('a'.repeat(0.4 * MIB));
    expect((await ask(createMailbox(staying), encodeGet('none', false))).code).toBe(MISS);
  });

  test('are served in turn: a flood in one port does not hold up the other', async () => {
    const shard = new ShardThread();
    const flooding = shard.first;
    const quiet = shard.connect(flooding);
    await Promise.all([ready(flooding), ready(quiet)]);
    const batch = Array.from({ length: 1000 }, (_, i) => encodePut(`key-${i}`, 'v'.repeat(1000), 0)).join('');
    const batches = 100;
    const [answeredBefore, quietBefore] = [flooding.doorbell.answers, quiet.doorbell.answers];
    for (let i = 0; i < batches; i++) flooding.port.postMessage(batch);
    quiet.port.postMessage(encodeGet('key-0', false));
    flooding.doorbell.ring();
    expect(quiet.doorbell.pollForAnswer(quietBefore, 20_000)).toBe(true);
    expect(flooding.doorbell.answers - answeredBefore).toBeLessThan(batches / 2);
    await expect.poll(() => flooding.doorbell.answers - answeredBefore).toBe(batches);
  });
});

function createActor(replyWindowBytes: number, defer: (task: () => void) => void = setImmediate) {
  const replyCells = new Int32Array(1);
  const actor = new ShardActor({
    store: createSegment().store,
    gzipThresholdBytes: 1024,
    shard: 0,
    replyCells,
    replyWindowBytes,
    deadlineMs: 60_000,
    nowMs: () => performance.now(),
    defer,
    deferSlice: setImmediate,
    readThread: () => new ThreadMeter(() => performance.now()).read(),
  });
  /** Keys of the requests in the order in which the actor was given them, of all sessions. */
  const handled: string[] = [];
  const sessions = [0, 1].map((n) => {
    const { port1, port2 } = new MessageChannel();
    const doorbell = new Doorbell();
    const session = new Session(port2, doorbell);
    port2.on('message', (message: ToShard) => {
      if (typeof message === 'string') handled.push(...keysIn(message).map((key) => `${n} ${key}`));
      if (typeof message === 'string' || message.kind !== 'connect') actor.handle(session, message);
    });
    port2.on('close', () => {
      session.close();
      actor.forget(session);
    });
    onTestFinished(() => port1.close());
    return { session, mailbox: createMailbox({ port: port1, doorbell }) };
  });
  return { actor, replyCells, handled, sessions };
}

describe('two sessions of an actor in this thread', () => {
  test('have one order for each key, and get their own replies only', async () => {
    const { sessions, handled, replyCells } = createActor(MIB);
    await expectOneOrder(
      sessions.map(({ mailbox }) => mailbox),
      20,
    );
    // Their batches came in turns, or the order would not have been in question.
    const changes = handled.filter((entry, i) => i > 0 && entry[0] !== handled[i - 1][0]).length;
    expect(changes).toBeGreaterThan(50);
    for (const { mailbox } of sessions) mailbox.sweepDeadlines();
    await expect.poll(() => replyCells[0]).toBe(0);
  });

  test('what waits to be compressed for one is dropped when it is closed', async () => {
    // By the actor's turns alone nothing would be compressed.
    const { sessions, actor, replyCells } = createActor(MIB, () => undefined);
    const [closing, staying] = sessions;
    const keys = Array.from({ length: 200 }, (_, i) => `key-${i}`);
    for (const key of keys) await put(staying.mailbox, key, `text of ${key} `.repeat(1000));
    for (const key of keys) closing.mailbox.send(encodeGet(key, true), new Recorder());
    await expect.poll(() => actor.needsTurns).toBe(true);
    expect(replyCells[0]).toBeGreaterThan(0);
    closing.mailbox.close();
    await expect.poll(() => closing.session.isClosed).toBe(true);
    expect([actor.needsTurns, replyCells[0]]).toEqual([false, 0]);
    expect((await ask(staying.mailbox, encodeGet(keys[199], true))).code).toBe(HIT_GZIP);
  });

  test('a body that is compressed for both is sent to the one that is left', async () => {
    const { sessions, replyCells } = createActor(8 * MIB);
    const [closing, staying] = sessions;
    // Compressed it is still large, and that takes a while.
    const value = new Random(1).text(MIB);
    await put(staying.mailbox, 'noise', value);
    const recorder = new Recorder();
    closing.mailbox.send(encodeGet('noise', true), recorder);
    const joined = ask(staying.mailbox, encodeGet('noise', true));
    await expect.poll(() => replyCells[0]).toBeGreaterThan(2 * MIB);
    closing.mailbox.close();
    expect(valueIn('noise', await joined)).toBe(value);
    expect(recorder.settled.map(({ code }) => code)).toEqual([UNAVAILABLE]);
    await expect.poll(() => replyCells[0]).toBe(0);
  });

  test('a reply that one waits for is neither sent nor kept once it is closed; the other has the room', async () => {
    const { sessions, replyCells } = createActor(50_000);
    const [closing, staying] = sessions;
    await put(staying.mailbox, 'large', 'x'.repeat(60_000));
    const recorders = [1, 2, 3].map(() => {
      const recorder = new Recorder();
      closing.mailbox.send(encodeGet('large', false), recorder);
      return recorder;
    });
    await expect.poll(() => closing.mailbox.awaitsReplyRoom).toBe(true);
    const waiting = ask(staying.mailbox, encodeGet('large', false));
    await expect.poll(() => staying.mailbox.awaitsReplyRoom).toBe(true);
    closing.mailbox.close();
    expect(valueIn('large', await waiting)).toBe('x'.repeat(60_000));
    expect(recorders.map(({ settled }) => settled.map(({ code }) => code))).toEqual([
      [HIT],
      [UNAVAILABLE],
      [UNAVAILABLE],
    ]);
    staying.mailbox.sweepDeadlines();
    await expect.poll(() => replyCells[0]).toBe(0);
    expect(closing.session.isClosed).toBe(true);
  });
});
