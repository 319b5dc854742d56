/**
 * How a batch should cross between two threads: as one string, as a transferred byte array, or through shared
 * memory with the port as its doorbell. Prints what the main thread, which is the busy one, spends per request.
 *
 *   npm run bench:mailbox
 *
 * All do the same work: join the requests of a batch, cross, cut them up, join the replies, cross back, cut the
 * replies up into the bodies that are given to sockets.
 */
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { markdownTable } from '../lib/table.ts';
import { median } from '../lib/statistics.ts';

const ENCODINGS = ['string', 'bytes', 'shared'] as const;
type Encoding = (typeof ENCODINGS)[number];

const BATCHES = [1, 8, 64] as const;
const REQUESTS = 100_000;
const ROUNDS = 3;
const REQUEST = `g${'k'.repeat(20)}`;
const REPLY = `h{"status":"OK","key":"${'k'.repeat(20)}","value":"${'v'.repeat(100)}"}`;
const AREA_BYTES = 2 ** 16;

/** One direction of one encoding. */
interface Channel {
  pack(texts: readonly string[]): { readonly message: unknown; readonly transfer: ArrayBuffer[] };
  unpack(message: unknown, size: number): string[];
}

function cut(text: string, size: number): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length; at += size) parts.push(text.slice(at, at + size));
  return parts;
}

function cutBytes(bytes: Buffer, size: number): string[] {
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; at += size) parts.push(bytes.toString('latin1', at, at + size));
  return parts;
}

function stringChannel(): Channel {
  return {
    pack: (texts) => ({ message: texts.join(''), transfer: [] }),
    unpack: (message, size) => cut(message as string, size),
  };
}

function bytesChannel(): Channel {
  return {
    pack: (texts) => {
      const buffer = new ArrayBuffer(texts.length * texts[0].length);
      writeAll(Buffer.from(buffer), texts);
      return { message: buffer, transfer: [buffer] };
    },
    unpack: (message, size) => cutBytes(Buffer.from(message as ArrayBuffer), size),
  };
}

function sharedChannel(area: SharedArrayBuffer): Channel {
  const shared = Buffer.from(area);
  return {
    pack: (texts) => ({ message: writeAll(shared, texts), transfer: [] }),
    unpack: (message, size) => cutBytes(shared.subarray(0, message as number), size),
  };
}

/** @returns how many bytes were written. */
function writeAll(target: Buffer, texts: readonly string[]): number {
  let at = 0;
  for (const text of texts) at += target.write(text, at, 'latin1');
  return at;
}

const CHANNELS: Readonly<Record<Encoding, (area: SharedArrayBuffer) => Channel>> = {
  string: stringChannel,
  bytes: bytesChannel,
  shared: sharedChannel,
};

interface Setup {
  readonly encoding: Encoding;
  readonly there: SharedArrayBuffer;
  readonly back: SharedArrayBuffer;
}

function serve({ encoding, there, back }: Setup): void {
  const incoming = CHANNELS[encoding](there);
  const outgoing = CHANNELS[encoding](back);
  parentPort!.on('message', (message: unknown) => {
    const requests = incoming.unpack(message, REQUEST.length);
    const { message: reply, transfer } = outgoing.pack(requests.map(() => REPLY));
    parentPort!.postMessage(reply, transfer);
  });
}

/** @returns microseconds of this thread's processor time per request. */
async function measure(worker: Worker, setup: Setup, batch: number): Promise<number> {
  const outgoing = CHANNELS[setup.encoding](setup.there);
  const incoming = CHANNELS[setup.encoding](setup.back);
  const requests = Array.from({ length: batch }, () => REQUEST);
  const before = process.threadCpuUsage();
  for (let done = 0; done < REQUESTS / (batch === 1 ? 8 : 1); done += batch) {
    const answered = new Promise((resolve) => worker.once('message', resolve));
    const { message, transfer } = outgoing.pack(requests);
    worker.postMessage(message, transfer);
    const replies = incoming.unpack(await answered, REPLY.length);
    if (replies.length !== batch || replies[batch - 1] !== REPLY) throw new Error('a reply is wrong');
  }
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / (REQUESTS / (batch === 1 ? 8 : 1));
}

async function main(): Promise<void> {
  const rows: string[][] = [];
  for (const batch of BATCHES) {
    const figures = new Map<Encoding, number[]>(ENCODINGS.map((encoding) => [encoding, []]));
    for (let round = 0; round <= ROUNDS; round++) {
      for (const encoding of ENCODINGS) {
        const setup = {
          encoding,
          there: new SharedArrayBuffer(AREA_BYTES),
          back: new SharedArrayBuffer(AREA_BYTES),
        };
        const worker = new Worker(new URL(import.meta.url), { workerData: setup });
        const micros = await measure(worker, setup, batch);
        await worker.terminate();
        // The first round warms up.
        if (round > 0) figures.get(encoding)!.push(micros);
      }
    }
    rows.push([String(batch), ...ENCODINGS.map((encoding) => median(figures.get(encoding)!).toFixed(2))]);
  }
  console.log(markdownTable(['requests per batch', ...ENCODINGS.map((encoding) => `${encoding}, µs`)], rows));
}

if (isMainThread) await main();
else serve(workerData as Setup);
