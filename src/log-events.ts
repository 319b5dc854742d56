import { formatBytes } from './config/byte-size.ts';
import type { Limits } from './config/memory-shares.ts';
import type { MemoryLimit } from './memory/probe.ts';
import type { PressureChange } from './memory/pressure.ts';
import type { OrderReport } from './memory/supervisor.ts';
import { NO_STATUS } from './metrics/request-times.ts';
import type { ConnectionPressureChange } from './metrics/traffic.ts';
import type { SlowRequest } from './metrics/slow-requests.ts';
import type { TierChange } from './shared/tier.ts';
import type { SnapshotLoaded, SnapshotSaved } from './snapshot/snapshots.ts';

/** What happens to the service, in one line of plain words: for the log, and for whatever else shows it. */
export interface LogEvent {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  /** For machines. */
  readonly fields: object;
}

/** What of a logger writes events. */
export type LogSink = Readonly<Record<LogEvent['level'], (fields: object, message: string) => void>>;

export function logEvent(sink: LogSink, { level, message, fields }: LogEvent): void {
  sink[level](fields, message);
}

export function listening(
  address: string,
  { SHARDS: shards, FRONTS: fronts }: { readonly SHARDS: number; readonly FRONTS: number },
  limits: Limits,
  { source, file }: MemoryLimit,
): LogEvent {
  const threads = `${count(shards, 'shard')}${fronts > 1 ? ` and ${fronts} HTTP threads` : ''}`;
  return {
    level: 'info',
    message: `listening on ${address} with ${threads}; memory limit ${formatBytes(limits.limitBytes)} (${source})`,
    fields: { address, shards, fronts, limits, limitSource: source, limitFile: file },
  };
}

export function shardDied(shard: number, heldBytes: number, error: unknown): LogEvent {
  return {
    level: 'error',
    message: `shard ${shard} died, and ${formatBytes(heldBytes)} of entries with it: ${messageOf(error)}`,
    fields: { err: error, shard, heldBytes },
  };
}

export function shardIsBackUp(shard: number, downMs: number): LogEvent {
  return {
    level: 'info',
    message: `shard ${shard} is back up after ${Math.round(downMs)} ms, empty`,
    fields: { shard, downMs: Math.round(downMs) },
  };
}

export function frontDied(front: number, wasServing: boolean, error: unknown): LogEvent {
  const lost = wasServing ? ', and its connections with it' : '';
  return {
    level: 'error',
    message: `HTTP thread ${front} died${lost}: ${messageOf(error)}`,
    fields: { err: error, front },
  };
}

export function frontReplaced(front: number, downMs: number): LogEvent {
  return {
    level: 'info',
    message: `HTTP thread ${front} serves in its place after ${Math.round(downMs)} ms`,
    fields: { front, downMs: Math.round(downMs) },
  };
}

export function tierChanged(address: string, change: TierChange, reason: string): LogEvent {
  if (change === 'up') {
    return { level: 'info', message: `the engine at ${address} is connected`, fields: { tier: address } };
  }
  const what = {
    unusable: 'cannot be used yet',
    gone: 'is gone, and all copies with it',
    refusal: 'refuses requests',
  }[change];
  return {
    level: 'warn',
    message: `the engine at ${address} ${what}: ${reason}`,
    fields: { tier: address, reason },
  };
}

export function shedOrderDone(order: OrderReport, shedFraction: number): LogEvent {
  const asked = formatBytes(order.askedBytes);
  const freed = formatBytes(order.releasedBytes);
  return {
    level: 'info',
    message: `shed ${percent(shedFraction)}: asked ${asked}, freed ${freed} in ${Math.round(order.tookMs)} ms`,
    fields: { order },
  };
}

export function pressureChanged(change: PressureChange, usedBytes: number, limits: Limits): LogEvent {
  const { kind, isOn, lastedMs } = change;
  const used = `${formatBytes(usedBytes)} of ${formatBytes(limits.limitBytes)} are used`;
  const begins = {
    threshold: `memory is over the threshold: ${used}; the least recently used entries are shed`,
    ceiling: `memory has reached the ceiling: ${used}; each new entry evicts old ones`,
  };
  const ends = {
    threshold: `memory is below the threshold again after ${seconds(lastedMs)}: ${used}`,
    ceiling: `memory is below the ceiling again after ${seconds(lastedMs)}: ${used}`,
  };
  return {
    level: 'info',
    message: (isOn ? begins : ends)[kind],
    fields: { pressure: kind, isOn, lastedMs, usedBytes },
  };
}

export function connectionPressureChanged(change: ConnectionPressureChange, limit: number): LogEvent {
  const { kind, isOn, lastedMs } = change;
  const begins = `connections have reached their limit of ${limit}: further ones are refused`;
  const ends = `connections are no longer refused after ${seconds(lastedMs)}; their limit is ${limit}`;
  return {
    level: 'info',
    message: isOn ? begins : ends,
    fields: { pressure: kind, isOn, lastedMs, limit },
  };
}

export function requestWasSlow({ method, route, status, tookMs, others }: SlowRequest): LogEvent {
  const answer = status === NO_STATUS ? 'had no answer' : `was answered ${status}`;
  const more = others === 0 ? '' : `; ${count(others, 'other')} were slow since the last such line`;
  return {
    level: 'debug',
    message: `slow: ${method} ${route} ${answer} after ${Math.round(tookMs)} ms${more}`,
    fields: { method, route, status, tookMs: Math.round(tookMs), others },
  };
}

export function stopping(signal: string, unanswered: number, delayMs: number): LogEvent {
  const waits = [
    ...(delayMs > 0 ? [`connections are taken for ${seconds(delayMs)} more`] : []),
    unanswered > 0 ? `waiting for ${count(unanswered, 'request')} in flight` : 'no request is in flight',
  ];
  return {
    level: 'info',
    message: `${signal}: stopping; ${waits.join('; ')}`,
    fields: { signal, unanswered, delayMs },
  };
}

export function stopped(tookMs: number, unanswered: number): LogEvent {
  const left = unanswered === 0 ? '' : `; ${count(unanswered, 'request')} had no answer`;
  return {
    level: 'info',
    message: `stopped after ${Math.round(tookMs)} ms${left}`,
    fields: { tookMs: Math.round(tookMs), unanswered },
  };
}

export function filesReadAgain(): LogEvent {
  return { level: 'info', message: 'SIGHUP: token and certificate files were read again', fields: {} };
}

export function filesNotTaken(faults: readonly string[]): LogEvent {
  return {
    level: 'error',
    message: `SIGHUP: the files are not taken, what was read before stays in force: ${faults.join('; ')}`,
    fields: { faults },
  };
}

export function nodeChanged(internal: string, fallback: string): LogEvent {
  return {
    level: 'warn',
    message: `Node ${process.version} does not behave as expected (${internal}): ${fallback}`,
    fields: { internal, fallback, node: process.version },
  };
}

export function linesLost(lines: number, why: string): LogEvent {
  const verb = lines === 1 ? 'was' : 'were';
  return {
    level: 'warn',
    message: `${count(lines, 'log line')} ${verb} lost here: ${why}`,
    fields: { lines, why },
  };
}

export function snapshotSaved({ entries, bytes, tookMs }: SnapshotSaved): LogEvent {
  return {
    level: 'info',
    message: `snapshot written: ${count(entries, 'entry', 'entries')}, ${formatBytes(bytes)} in ${seconds(tookMs)}`,
    fields: { entries, bytes, tookMs: Math.round(tookMs) },
  };
}

export function snapshotFailed(error: unknown): LogEvent {
  return {
    level: 'error',
    message: `no snapshot was written, the one before stays: ${messageOf(error)}`,
    fields: { err: error },
  };
}

export function snapshotLoaded({ tookMs, ...result }: SnapshotLoaded): LogEvent {
  const { loaded, superseded, expired, keptOut, damagedSections, damagedEntries, lostBytes } = result;
  const lacks = [
    ...(expired > 0 ? [`${expired} have expired`] : []),
    ...(superseded > 0 ? [`${superseded} were put or removed meanwhile`] : []),
    ...(keptOut > 0 ? [`for ${keptOut} there was no room`] : []),
    ...(damagedSections > 0
      ? [`${count(damagedSections, 'section')} with ${count(damagedEntries, 'entry', 'entries')} damaged`]
      : []),
    ...(lostBytes > 0 ? [`${formatBytes(lostBytes)} cannot be read`] : []),
    ...(result.isComplete ? [] : ['the end is missing']),
  ];
  const isDamaged = damagedSections > 0 || lostBytes > 0 || !result.isComplete;
  const start = `snapshot read: ${count(loaded, 'entry', 'entries')} in ${seconds(tookMs)}`;
  return {
    level: isDamaged ? 'warn' : 'info',
    message: [start, ...lacks].join('; '),
    fields: { ...result, tookMs: Math.round(tookMs) },
  };
}

export function snapshotNotLoaded(error: unknown): LogEvent {
  return {
    level: 'error',
    message: `the snapshot cannot be read, the cache begins empty: ${messageOf(error)}`,
    fields: { err: error },
  };
}

export function snapshotForeign(path: string, keptAs: string): LogEvent {
  return {
    level: 'error',
    message: `${path} is no snapshot of this version, and is kept as ${keptAs}; the cache begins empty`,
    fields: { path, keptAs },
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function count(number: number, noun: string, nouns = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : nouns}`;
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(1))} %`;
}

function seconds(ms: number): string {
  return `${Number((ms / 1000).toFixed(1))} s`;
}
