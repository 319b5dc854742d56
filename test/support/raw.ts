import {
  RAW_DELETE,
  RAW_GET,
  RAW_GET_GZIP,
  RAW_HEAD,
  encodeRawPut,
  encodeRawRequest,
} from '../../src/shared/protocol.ts';
import {
  type Conditions,
  type PutOptions,
  encodeConditions,
  encodePutOptions,
} from '../../src/shared/raw-entries.ts';

/** What a raw PUT has where a test says nothing else. */
export const PLAIN_OPTIONS: PutOptions = {
  ttlMs: 0,
  contentType: 'application/octet-stream',
  contentEncoding: '',
  headers: ['', ''],
  conditions: {},
};

export function rawPut(key: string, value: string, options: Partial<PutOptions> = {}): string {
  return encodeRawPut(key, encodePutOptions({ ...PLAIN_OPTIONS, ...options }), value);
}

export function rawGet(key: string, conditions: Conditions = {}): string {
  return encodeRawRequest(RAW_GET, key, encodeConditions(conditions));
}

export function rawGetGzip(key: string, conditions: Conditions = {}): string {
  return encodeRawRequest(RAW_GET_GZIP, key, encodeConditions(conditions));
}

export function rawHead(key: string, conditions: Conditions = {}): string {
  return encodeRawRequest(RAW_HEAD, key, encodeConditions(conditions));
}

export function rawDelete(key: string, conditions: Conditions = {}): string {
  return encodeRawRequest(RAW_DELETE, key, encodeConditions(conditions));
}

/** Every byte, so often as fills the length. */
export function allBytes(length: number): string {
  return Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 7) & 0xff)).toString('latin1');
}
