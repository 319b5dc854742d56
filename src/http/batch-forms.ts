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
import { type RequestSchemas, isAscii } from '../api/request-schemas.ts';
import { encodeU16, encodeU32 } from '../shared/protocol.ts';
import { type EntryHead, NO_CONDITIONS, type PutOptions } from '../shared/raw-entries.ts';
import type { BatchForm, BatchItem } from './batch.ts';
import { failureOfIssue, keyFailure } from './failure-of-error.ts';
import type { Failure } from './failures.ts';
import { NOT_JSON, withoutByteOrderMark } from './intake/bodies.ts';
import { DEFAULT_TYPE, secondsToMs } from './raw-request.ts';
import { JSON_TYPE } from './write-answer.ts';

const KNOWN_FLAGS = HAS_TTL | HAS_TYPE | HAS_ENCODING | CREATE_ONLY | IS_TEXT;

const invalid = (message: string): Failure => ({ code: 'CACHE_ERR_BODY_INVALID', message });
/** How a value is stored that was put as JSON. */
const AS_JSON: PutOptions = {
  ttlMs: 0,
  contentType: '',
  contentEncoding: '',
  headers: ['', ''],
  conditions: NO_CONDITIONS,
};
const TOO_MANY = invalid(`A batch has at most ${MAX_BATCH_REQUESTS} requests.`);

/** Reads the binary form: see `docs/batch-format.md`. */
export function readBinaryBatch(body: Buffer, schemas: RequestSchemas): BatchItem[] | Failure {
  const items: BatchItem[] = [];
  try {
    const reader = new BatchReader(body, 'request');
    for (let record = reader.next(); record; record = reader.next()) {
      if (items.length === MAX_BATCH_REQUESTS) return TOO_MANY;
      if ((record.flags & ~KNOWN_FLAGS) !== 0)
        return invalid('A flag of a request is not known, or not for requests.');
      items.push(itemOf(record, body, schemas));
    }
  } catch (error) {
    if (error instanceof BatchFormatError) return invalid(error.message);
    throw error;
  }
  return items;
}

function itemOf(record: BatchRecord, body: Buffer, schemas: RequestSchemas): BatchItem {
  const key = body.toString('latin1', record.keyStart, record.keyEnd);
  const failure = keyFailure(schemas, key);
  if (failure) return { method: 'NONE', failure };
  if (record.kind === GET) return { method: 'GET', key };
  if (record.kind === HEAD) return { method: 'HEAD', key };
  if (record.kind === DELETE) return { method: 'DELETE', key };
  const { flags, contentType, contentEncoding, ttl } = record;
  const ttlMs = flags & HAS_TTL ? secondsToMs('ttl', ttl) : 0;
  if (typeof ttlMs !== 'number') return { method: 'NONE', failure: ttlMs };
  const put: PutOptions = {
    ...AS_JSON,
    ttlMs,
    contentType: contentType || (flags & IS_TEXT ? '' : DEFAULT_TYPE),
    contentEncoding,
    conditions: flags & CREATE_ONLY ? { ifNoneMatch: '*' } : NO_CONDITIONS,
  };
  return { method: 'PUT', key, value: body.subarray(record.valueStart, record.valueEnd), put };
}

const ENVELOPE = z.strictObject({ requests: z.array(z.unknown()).max(MAX_BATCH_REQUESTS) });
const METHODS: ReadonlySet<unknown> = new Set(['GET', 'PUT', 'DELETE', 'HEAD']);

/** Reads the JSON form. */
export function readJsonBatch(body: Buffer, schemas: RequestSchemas): BatchItem[] | Failure {
  let parsed: unknown;
  try {
    parsed = JSON.parse(withoutByteOrderMark(body.toString('latin1')));
  } catch {
    return NOT_JSON;
  }
  const { data } = ENVELOPE.safeParse(parsed);
  if (!data) return invalid(`The body must be {"requests":[…]} with at most ${MAX_BATCH_REQUESTS} requests.`);
  return data.requests.map((request) => jsonItemOf(request, schemas));
}

function jsonItemOf(request: unknown, { putBody, keyAlone }: RequestSchemas): BatchItem {
  const isObject = typeof request === 'object' && request !== null;
  const { method, ...rest } = (isObject ? request : {}) as Readonly<Record<string, unknown>>;
  if (!METHODS.has(method)) {
    return { method: 'NONE', failure: invalid('method must be one of GET, PUT, DELETE, HEAD.') };
  }
  if (method !== 'PUT') {
    const { data, error } = keyAlone.safeParse(rest);
    if (error) return { method: 'NONE', failure: failureOfIssue(error.issues[0]) };
    return { method: method as 'GET' | 'HEAD' | 'DELETE', key: data.key };
  }
  const { data, error } = putBody.safeParse(rest);
  if (error) return { method: 'NONE', failure: failureOfIssue(error.issues[0]) };
  const { key, value, ttl = 0 } = data;
  const put = { ...AS_JSON, ttlMs: Math.ceil(ttl * 1000) };
  return { method: 'PUT', key, value: Buffer.from(value, 'latin1'), put };
}

export const BINARY_FORM: BatchForm = {
  type: BATCH_TYPE,
  hit: entryRecord,
  found: (head) => entryRecord(head, ''),
  stored: (isNew, { tag }) => recordOf(isNew ? 201 : 204, HAS_TAG, shortOf(`"${tag}"`), ''),
  deleted: () => recordOf(204, 0, '', ''),
  failed: ({ code, message }) => {
    const status = ERRORS[code];
    return status === 404 ? recordOf(404, 0, '', '') : recordOf(status, IS_ERROR, '', `${code} ${message}`);
  },
  join: (results) => String.fromCharCode(BATCH_VERSION) + results.join(''),
};

function recordOf(status: number, flags: number, fields: string, value: string): string {
  return encodeU16(status) + String.fromCharCode(flags) + encodeU32(value.length) + fields + value;
}

function entryRecord({ ttlMs, contentType, contentEncoding, tag }: EntryHead, value: string): string {
  const hasType = contentType !== '' && contentType !== DEFAULT_TYPE;
  const flags =
    (ttlMs > 0 ? HAS_TTL : 0) |
    (contentType === '' ? IS_TEXT : 0) |
    (hasType ? HAS_TYPE : 0) |
    (contentEncoding === '' ? 0 : HAS_ENCODING) |
    HAS_TAG;
  const fields =
    (ttlMs > 0 ? doubleOf(ttlMs / 1000) : '') +
    (hasType ? shortOf(contentType) : '') +
    (contentEncoding === '' ? '' : shortOf(contentEncoding)) +
    shortOf(`"${tag}"`);
  return recordOf(200, flags, fields, value);
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
  type: JSON_TYPE,
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
