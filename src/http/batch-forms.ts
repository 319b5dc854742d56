import { z } from 'zod';
import {
  BATCH_TYPE,
  BatchReader,
  type BatchRecord,
  type BatchRequest,
  BatchWriter,
} from '../api/batch-format.ts';
import { ERRORS } from '../api/errors.ts';
import { type RequestSchemas, isAscii } from '../api/request-schemas.ts';
import {
  DELETE,
  GET,
  HEAD,
  IS_ERROR,
  MAX_BATCH_REQUESTS,
  PUT,
  RequestRecords,
} from '../shared/batch-records.ts';
import { MISS, bufferOf } from '../shared/protocol.ts';
import { type BatchPlan, type BatchRules, invalid, planBatch } from './batch-plan.ts';
import type { BatchForm } from './batch.ts';
import { failureOfReply } from './exchanges.ts';
import { failureOfIssue } from './failure-of-error.ts';
import type { Failure } from './failures.ts';
import { NOT_JSON, withoutByteOrderMark } from './intake/bodies.ts';
import { JSON_TYPE } from './write-answer.ts';

const ENVELOPE = z.strictObject({ requests: z.array(z.unknown()).max(MAX_BATCH_REQUESTS) });
const METHODS: ReadonlyMap<unknown, typeof GET | typeof DELETE | typeof HEAD | typeof PUT> = new Map([
  ['GET', GET],
  ['PUT', PUT],
  ['DELETE', DELETE],
  ['HEAD', HEAD],
]);
const NOT_FOUND = failureOfReply(MISS);
const NOT_ASCII: Failure = {
  code: 'CACHE_ERR_VALUE_NOT_TEXT',
  message: 'The value is not ASCII: it can be read at /kv/{key}, or by a binary batch.',
};
/** Stands in the place of a request that is not valid. */
const PLACEHOLDER: BatchRequest = { method: GET, key: '-' };

/** Reads the JSON form, as if it were the binary one. */
export function planJsonBatch(body: Buffer, rules: BatchRules): BatchPlan | Failure {
  let parsed: unknown;
  try {
    parsed = JSON.parse(withoutByteOrderMark(body.toString('latin1')));
  } catch {
    return NOT_JSON;
  }
  const { data } = ENVELOPE.safeParse(parsed);
  if (!data) return invalid(`The body must be {"requests":[…]} with at most ${MAX_BATCH_REQUESTS} requests.`);
  const requests = data.requests.map((request) => requestOf(request, rules.schemas));
  const writer = new BatchWriter();
  for (const request of requests) writer.add('code' in request ? PLACEHOLDER : request);
  const plan = planBatch(Buffer.from(writer.take().buffer), rules);
  if ('code' in plan) return plan;
  const failures = new Map(plan.failures);
  for (const [place, request] of requests.entries()) {
    if ('code' in request) failures.set(place, request);
  }
  return { ...plan, failures };
}

function requestOf(request: unknown, { putBody, keyAlone }: RequestSchemas): BatchRequest | Failure {
  const isObject = typeof request === 'object' && request !== null;
  const { method: name, ...rest } = (isObject ? request : {}) as Readonly<Record<string, unknown>>;
  const method = METHODS.get(name);
  if (method === undefined) return invalid('method must be one of GET, PUT, DELETE, HEAD.');
  if (method !== PUT) {
    const { data, error } = keyAlone.safeParse(rest);
    return error ? failureOfIssue(error.issues[0]) : { method, key: data.key };
  }
  const { data, error } = putBody.safeParse(rest);
  if (error) return failureOfIssue(error.issues[0]);
  const { key, value, ttl } = data;
  return ttl === undefined ? { method, key, value } : { method, key, value, ttl };
}

export const BINARY_FORM: BatchForm = {
  type: BATCH_TYPE,
  render: (answer) => answer,
};

export const JSON_FORM: BatchForm = {
  type: JSON_TYPE,
  render: (answer, plan) => {
    const bytes = bufferOf(answer);
    const reader = new BatchReader(bytes);
    const requests = new RequestRecords(plan.bytes);
    const results: string[] = [];
    for (let record = reader.next(); record; record = reader.next()) {
      requests.next();
      const value = bytes.toString('latin1', record.valueStart, record.valueEnd);
      results.push(resultText(record, requests.method, value));
    }
    return `{"status":"OK","responses":[${results.join(',')}]}`;
  },
};

function resultText({ status, flags }: BatchRecord, method: number, value: string): string {
  if (flags & IS_ERROR) {
    const space = value.indexOf(' ');
    return errorText(status, value.slice(0, space), value.slice(space + 1));
  }
  if (status === 404) return errorText(404, NOT_FOUND.code, NOT_FOUND.message);
  if (method !== GET) return `{"status":${status}}`;
  if (isAscii(value)) return JSON.stringify({ status, value });
  return errorText(ERRORS[NOT_ASCII.code], NOT_ASCII.code, NOT_ASCII.message);
}

function errorText(status: number, code: string, message: string): string {
  // The answer is sent byte for byte: other characters are escaped.
  const text = JSON.stringify({ status, code, message });
  return text.replaceAll(
    /[^\0-\x7f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
