import type { Conditions } from '../../src/shared/raw-entries.ts';
import type { Command } from './connection.ts';
import type { Engine } from './engine.ts';
import { type EntryRecord, KEY_PREFIX, decodeRecord } from './record.ts';
import { MET_OLD, NOT_MET, conditionalDelete, conditionalPut } from './scripts.ts';

/** An entry as the engine has it. */
export interface FetchedEntry {
  readonly record: EntryRecord;
  /** What was left of its lifetime when it was asked for; 0 for none. */
  readonly ttlMs: number;
}

export type WriteOutcome = 'new' | 'replaced' | 'not met';

const NO_KEY = -2;
const NO_LIFETIME = -1;

/** The entries in the engine, each by its key. */
export class Entries {
  private readonly engine: Engine;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** @returns undefined where there is none, or what is there was not stored by this cache. */
  async get(key: string): Promise<FetchedEntry | undefined> {
    const name = KEY_PREFIX + key;
    let replies: unknown[];
    try {
      replies = await this.engine.run(key, [
        ['GET', name],
        ['PTTL', name],
      ]);
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('WRONGTYPE')) return undefined;
      throw error;
    }
    const [bytes, pttl] = replies as [Buffer | null, number];
    const record = bytes === null ? undefined : decodeRecord(bytes);
    if (!record || pttl === NO_KEY || pttl === 0) return undefined;
    return { record, ttlMs: pttl === NO_LIFETIME ? 0 : pttl };
  }

  /** @param bytes as `encodeRecord` made them. @param ttlMs 0 for none. */
  async put(key: string, bytes: Buffer, ttlMs: number, conditions: Conditions): Promise<WriteOutcome> {
    const name = KEY_PREFIX + key;
    if (hasConditions(conditions)) {
      const [outcome] = await this.engine.run(key, [conditionalPut(name, bytes, ttlMs, conditions)]);
      return outcomeOf(outcome);
    }
    // Not a script: what scripts change is announced to ourselves, and the copy would go.
    const set: Command = ttlMs === 0 ? ['SET', name, bytes] : ['SET', name, bytes, 'PX', String(ttlMs)];
    const [existed] = await this.engine.run(key, [['EXISTS', name], set]);
    return existed === 1 ? 'replaced' : 'new';
  }

  async delete(key: string, conditions: Conditions): Promise<WriteOutcome> {
    const name = KEY_PREFIX + key;
    if (hasConditions(conditions)) {
      const [outcome] = await this.engine.run(key, [conditionalDelete(name, conditions)]);
      return outcomeOf(outcome);
    }
    const [removed] = await this.engine.run(key, [['UNLINK', name]]);
    return removed === 1 ? 'replaced' : 'new';
  }
}

function hasConditions({ ifMatch, ifNoneMatch }: Conditions): boolean {
  return ifMatch !== undefined || ifNoneMatch !== undefined;
}

function outcomeOf(reply: unknown): WriteOutcome {
  if (reply === NOT_MET) return 'not met';
  return reply === MET_OLD ? 'replaced' : 'new';
}
