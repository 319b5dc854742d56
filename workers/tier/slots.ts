import type { TierAddress } from '../../src/shared/tier.ts';

/** Of a cluster's key space. */
export const CLUSTER_SLOTS = 16_384;

const POLYNOMIAL = 0x1021;
const CRC16 = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ POLYNOMIAL;
  return crc & 0xffff;
});

/** The slot of a key, of one-byte characters: CRC-16/XMODEM of the key, or of what stands in its first braces. */
export function clusterSlot(key: string): number {
  const open = key.indexOf('{');
  const close = open < 0 ? -1 : key.indexOf('}', open + 1);
  const [from, to] = close > open + 1 ? [open + 1, close] : [0, key.length];
  let crc = 0;
  for (let i = from; i < to; i++) {
    crc = ((crc << 8) ^ CRC16[((crc >>> 8) ^ key.charCodeAt(i)) & 0xff]) & 0xffff;
  }
  return crc % CLUSTER_SLOTS;
}

/** A range of slots and the primary that serves it. */
export interface SlotRange {
  readonly from: number;
  readonly to: number;
  readonly primary: TierAddress;
}

/**
 * Reads the reply to CLUSTER SLOTS.
 * @param asked the address of the node that replied: it may not know its own.
 */
export function readSlotRanges(reply: unknown, asked: TierAddress): SlotRange[] {
  return (reply as [number, number, [unknown, number]][]).map(([from, to, [host, port]]) => {
    const name = textOf(host);
    return { from, to, primary: { host: name === '' || name === '?' ? asked.host : name, port } };
  });
}

/** Text in a reply, which is bytes or text as the type of the reply has it; '' for none. */
export function textOf(reply: unknown): string {
  if (Buffer.isBuffer(reply)) return reply.toString('latin1');
  return typeof reply === 'string' ? reply : '';
}

/** Where a node sends a request instead. */
export interface Redirect {
  readonly kind: 'MOVED' | 'ASK';
  readonly to: TierAddress;
}

/** @returns undefined where the message is no redirection. */
export function readRedirect(message: string, asked: TierAddress): Redirect | undefined {
  const match = /^(MOVED|ASK) \d+ (.*):(\d+)$/.exec(message);
  if (!match) return undefined;
  const [, kind, host, port] = match;
  return {
    kind: kind as Redirect['kind'],
    to: { host: host === '' ? asked.host : host, port: Number(port) },
  };
}
