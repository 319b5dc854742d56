import {
  BATCH_VERSION,
  DELETE,
  GET,
  HAS_ENCODING,
  HAS_TTL,
  HAS_TYPE,
  HEAD,
  MAX_BATCH_REQUESTS,
  PUT,
  REQUEST_FLAGS,
  RequestRecords,
} from '../shared/batch-records.ts';
import type { RequestSchemas } from '../api/request-schemas.ts';
import type { HttpRouter } from '../shards/router.ts';
import { READ_ONLY } from './access.ts';
import { keyFailure } from './failure-of-error.ts';
import type { Failure } from './failures.ts';
import { secondsToMs } from './raw-request.ts';

/** What a batch asks, checked: which of its requests are carried out, and why the others fail. */
export interface BatchPlan {
  /** Version and records, as `batch-records.ts` has them. */
  readonly bytes: Buffer;
  readonly size: number;
  /** The number of the shard that each is for; absent where there is one shard. */
  readonly shards: Uint8Array | undefined;
  /** Why requests fail without their shard, by their place. */
  readonly failures: ReadonlyMap<number, Failure>;
  readonly hasWrites: boolean;
}

export interface BatchRules {
  readonly schemas: RequestSchemas;
  readonly router: HttpRouter;
  /** Whether the client may only read. */
  readonly isReadOnly: boolean;
}

export const invalid = (message: string): Failure => ({ code: 'CACHE_ERR_BODY_INVALID', message });

const NO_FAILURES: ReadonlyMap<number, Failure> = new Map();
const TOO_MANY = invalid(`A batch has at most ${MAX_BATCH_REQUESTS} requests.`);
const WRONG_VERSION = invalid(`A batch begins with its version, which is ${BATCH_VERSION}.`);
const CUT_OFF = invalid('The batch ends in the middle of a record.');
const UNKNOWN_FLAG = invalid('A flag of a request is not known, or not for requests.');
export const TOO_LARGE_FOR_BATCH: Failure = {
  code: 'CACHE_ERR_VALUE_TOO_LARGE',
  message: 'value has more than 1 MiB: such entries are stored and read at /kv/{key}.',
};
/** A GET of the entry sends these texts as headers, and Node throws where they have other characters. */
const HEADER_TEXT = /^[\t\x20-\x7e\x80-\xff]*$/;
const NOT_A_HEADER: Failure = {
  code: 'CACHE_ERR_REQUEST_INVALID',
  message:
    'The content type and the content encoding must have the characters of a header: no line break, no control.',
};
const FIRST_PRINTABLE = 0x20;
const LAST_PRINTABLE = 0x7e;

/** Checks a batch in its binary form. @returns why none of it is carried out, where the batch itself is wrong. */
export function planBatch(bytes: Buffer, rules: BatchRules): BatchPlan | Failure {
  if (bytes[0] !== BATCH_VERSION) return WRONG_VERSION;
  const records = new RequestRecords(bytes);
  const { router } = rules;
  const shards = router.shards.length > 1 ? new Uint8Array(MAX_BATCH_REQUESTS) : undefined;
  let failures: Map<number, Failure> | undefined;
  let size = 0;
  let hasWrites = false;
  while (records.next()) {
    const { method, flags } = records;
    if (method < GET || method > HEAD) {
      return invalid(`Method ${method} is none of 1 (GET), 2 (PUT), 3 (DELETE), 4 (HEAD).`);
    }
    if ((flags & ~REQUEST_FLAGS) !== 0) return UNKNOWN_FLAG;
    if (size === MAX_BATCH_REQUESTS) return TOO_MANY;
    const isWrite = method === PUT || method === DELETE;
    const failure = faultOf(records, bytes, isWrite, rules);
    if (failure) (failures ??= new Map()).set(size, failure);
    else hasWrites ||= isWrite;
    if (shards) {
      shards[size] = router.shardNumberAt(bytes, records.keyStart, records.keyEnd - records.keyStart);
    }
    size++;
  }
  if (!records.isAtEnd) return CUT_OFF;
  return { bytes, size, shards, failures: failures ?? NO_FAILURES, hasWrites };
}

/** What is wrong with one request. */
function faultOf(
  record: RequestRecords,
  bytes: Buffer,
  isWrite: boolean,
  { schemas, router, isReadOnly }: BatchRules,
): Failure | undefined {
  const { keyStart, keyEnd } = record;
  const isKey = keyEnd > keyStart && keyEnd - keyStart <= schemas.maxKeyLength;
  if (!isKey || !isPrintable(bytes, keyStart, keyEnd)) {
    return keyFailure(schemas, bytes.toString('latin1', keyStart, keyEnd));
  }
  if (!isWrite) return undefined;
  if (isReadOnly) return READ_ONLY;
  if (record.method === DELETE) return undefined;
  if ((record.flags & HAS_TTL) !== 0) {
    const ttlMs = secondsToMs('ttl', record.ttl);
    if (typeof ttlMs !== 'number') return ttlMs;
  }
  if ((record.flags & (HAS_TYPE | HAS_ENCODING)) !== 0) {
    const areHeaders = HEADER_TEXT.test(record.contentType) && HEADER_TEXT.test(record.contentEncoding);
    if (!areHeaders) return NOT_A_HEADER;
  }
  const takesIt = router.takesWhole(keyEnd - keyStart, record.valueEnd - keyEnd);
  return takesIt ? undefined : TOO_LARGE_FOR_BATCH;
}

/** As the schema of a key says. A string of each key would cost more than all else that is done with it here. */
function isPrintable(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    if (bytes[at] < FIRST_PRINTABLE || bytes[at] > LAST_PRINTABLE) return false;
  }
  return true;
}
