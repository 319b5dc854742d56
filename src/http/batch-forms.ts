import { z } from 'zod';
import {
  BATCH_TYPE,
  BATCH_VERSION,
  BatchFormatError,
  BatchReader,
  type BatchRecord,
  CREATE_ONLY,
  DELETE,
  GET,
  HAS_ENCODING,
  HAS_TAG,
  HAS_TTL,
  HAS_TYPE,
  HEAD,
  IS_ERROR,
  IS_TEXT,
  MAX_BATCH_REQUESTS,
} from '../api/batch-format.ts';
import { ERRORS } from '../api/errors.ts';
import { MAX_TTL_S, type RequestSchemas, isAscii } from '../api/request-schemas.ts';
import { type EntryHead, NO_CONDITIONS, type PutOptions } from '../shared/raw-entries.ts';
import type { BatchForm, BatchItem } from './batch.ts';
import type { Failure } from './failures.ts';

const KNOWN_FLAGS = HAS_TTL | HAS_TYPE | HAS_ENCODING | CREATE_ONLY | IS_TEXT;
const DEFAULT_TYPE = 'application/octet-stream';

const invalid = (message: string): Failure => ({ code: 'CACHE_ERR_BODY_INVALID', message });
const TOO_MANY = invalid(`A batch has at most ${MAX_BATCH_REQUESTS} requests.`);

/** Checks a key by the schema that the other routes use. @returns what is wrong with it. */
type KeyFault = (key: string) => Failure | undefined;

export function keyFaultOf({ keyInPath, fastPathValidators }: RequestSchemas): KeyFault {
  const isFine = fastPathValidators.get(keyInPath)!;
  return (key) => {
    if (isFine({ key })) return undefined;
    const { error } = keyInPath.safeParse({ key });
    return error && { code: 'CACHE_ERR_KEY_INVALID', message: `key ${error.issues[0].message}.` };
  };
}

/** Reads the binary form: see `docs/batch-format.md`. */
export function readBinaryBatch(body: Buffer, keyFault: KeyFault): BatchItem[] | Failure {
  const items: BatchItem[] = [];
  try {
    const reader = new BatchReader(body, 'request');
    for (let record = reader.next(); record; record = reader.next()) {
      if (items.length === MAX_BATCH_REQUESTS) return TOO_MANY;
      if ((record.flags & ~KNOWN_FLAGS) !== 0)
        return invalid('A flag of a request is not known, or not for requests.');
      items.push(itemOf(record, body, keyFault));
    }
  } catch (error) {
    if (error instanceof BatchFormatError) return invalid(error.message);
    throw error;
  }
  return items;
}

function itemOf(record: BatchRecord, body: Buffer, keyFault: KeyFault): BatchItem {
  const key = body.toString('latin1', record.keyStart, record.keyEnd);
  const failure = keyFault(key) ?? ttlFault(record);
  if (failure) return { method: 'NONE', failure };
  if (record.kind === GET) return { method: 'GET', key };
  if (record.kind === HEAD) return { method: 'HEAD', key };
  if (record.kind === DELETE) return { method: 'DELETE', key };
  const { flags, contentType, contentEncoding, ttl } = record;
  const put: PutOptions = {
    ttlMs: Math.ceil(ttl * 1000),
    contentType: contentType || (flags & IS_TEXT ? '' : DEFAULT_TYPE),
    contentEncoding,
    headers: ['', ''],
    conditions: flags & CREATE_ONLY ? { ifMatch: undefined, ifNoneMatch: '*' } : NO_CONDITIONS,
  };
  return { method: 'PUT', key, value: body.subarray(record.valueStart, record.valueEnd), put };
}

function ttlFault({ flags, ttl }: BatchRecord): Failure | undefined {
  if ((flags & HAS_TTL) === 0 || (ttl > 0 && ttl <= MAX_TTL_S)) return undefined;
  return {
    code: 'CACHE_ERR_TTL_INVALID',
    message: 'ttl must be a positive number of seconds, at most ten years.',
  };
}

const ENVELOPE = z.strictObject({ requests: z.array(z.unknown()).max(MAX_BATCH_REQUESTS) });
const METHODS: ReadonlySet<unknown> = new Set(['GET', 'PUT', 'DELETE', 'HEAD']);

/** Reads the JSON form. */
export function readJsonBatch(body: Buffer, schemas: RequestSchemas): BatchItem[] | Failure {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString('latin1'));
  } catch {
    return invalid('The body is not valid JSON in UTF-8.');
  }
  const { data } = ENVELOPE.safeParse(parsed);
  if (!data) return invalid(`The body must be {"requests":[…]} with at most ${MAX_BATCH_REQUESTS} requests.`);
  return data.requests.map((request) => jsonItemOf(request, schemas));
}

function jsonItemOf(request: unknown, { putBody, keyInPath }: RequestSchemas): BatchItem {
  const { method, ...rest } = (typeof request === 'object' && request !== null ? request : {}) as Record<
    string,
    unknown
  >;
  if (!METHODS.has(method)) {
    return { method: 'NONE', failure: invalid('method must be one of GET, PUT, DELETE, HEAD.') };
  }
  const { data, error } = (method === 'PUT' ? putBody : keyInPath.strict()).safeParse(rest);
  if (error) return { method: 'NONE', failure: failureOfIssue(error.issues[0]) };
  if (method !== 'PUT') return { method: method as 'GET' | 'HEAD' | 'DELETE', key: data.key };
  const { key, value, ttl = 0 } = data as z.infer<typeof putBody>;
  const put: PutOptions = {
    ttlMs: Math.ceil(ttl * 1000),
    contentType: '',
    contentEncoding: '',
    headers: ['', ''],
    conditions: NO_CONDITIONS,
  };
  return { method: 'PUT', key, value: Buffer.from(value, 'latin1'), put };
}

const CODES = {
  key: 'CACHE_ERR_KEY_INVALID',
  value: 'CACHE_ERR_VALUE_INVALID',
  ttl: 'CACHE_ERR_TTL_INVALID',
} as const;

function failureOfIssue({ path, message }: z.core.$ZodIssue): Failure {
  const field = String(path[0] ?? '');
  return {
    code: CODES[field as keyof typeof CODES] ?? 'CACHE_ERR_BODY_INVALID',
    message: `${field} ${message}.`.trim(),
  };
}

export const BINARY_FORM: BatchForm = {
  type: BATCH_TYPE,
  hit: (head, value) => recordOf(200, flagsOf(head), fieldsOf(head), value),
  found: (head) => recordOf(200, flagsOf(head), fieldsOf(head), ''),
  stored: (isNew, { tag }) => recordOf(isNew ? 201 : 204, HAS_TAG, shortOf(`"${tag}"`), ''),
  deleted: () => recordOf(204, 0, '', ''),
  failed: ({ code, message }) => {
    const status = ERRORS[code];
    return status === 404 ? recordOf(404, 0, '', '') : recordOf(status, IS_ERROR, '', `${code} ${message}`);
  },
  join: (results) => String.fromCharCode(BATCH_VERSION) + results.join(''),
};

function recordOf(status: number, flags: number, fields: string, value: string): string {
  const { length } = value;
  const head = String.fromCharCode(
    status >>> 8,
    status & 0xff,
    flags,
    length >>> 24,
    (length >>> 16) & 0xff,
    (length >>> 8) & 0xff,
    length & 0xff,
  );
  return head + fields + value;
}

function flagsOf({ ttlMs, contentType, contentEncoding }: EntryHead): number {
  return (
    (ttlMs > 0 ? HAS_TTL : 0) |
    (contentType === '' ? IS_TEXT : contentType === DEFAULT_TYPE ? 0 : HAS_TYPE) |
    (contentEncoding === '' ? 0 : HAS_ENCODING) |
    HAS_TAG
  );
}

function fieldsOf(head: EntryHead): string {
  const flags = flagsOf(head);
  return (
    (flags & HAS_TTL ? doubleOf(head.ttlMs / 1000) : '') +
    (flags & HAS_TYPE ? shortOf(head.contentType) : '') +
    (flags & HAS_ENCODING ? shortOf(head.contentEncoding) : '') +
    shortOf(`"${head.tag}"`)
  );
}

function shortOf(text: string): string {
  return String.fromCharCode(text.length) + text;
}

function doubleOf(number: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(number);
  return bytes.toString('latin1');
}

export const JSON_FORM: BatchForm = {
  type: 'application/json; charset=utf-8',
  hit: (_head, value) =>
    isAscii(value)
      ? JSON.stringify({ status: 200, value })
      : errorText({
          code: 'CACHE_ERR_VALUE_NOT_TEXT',
          message: 'The value is not ASCII: it can be read at /kv/{key}, or by a binary batch.',
        }),
  found: () => '{"status":200}',
  stored: (isNew) => (isNew ? '{"status":201}' : '{"status":204}'),
  deleted: () => '{"status":204}',
  failed: errorText,
  join: (results) => `{"status":"OK","responses":[${results.join(',')}]}`,
};

function errorText({ code, message }: Failure): string {
  // The answer is sent byte for byte: other characters are escaped.
  const text = JSON.stringify({ status: ERRORS[code], code, message });
  return text.replaceAll(
    /[^\0-\x7f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
