import Negotiator from 'negotiator';
import { HeaderMemo } from './header-memo.ts';

const memo = new HeaderMemo((field) => {
  // Another name of the same: RFC 9110, section 8.4.1.3.
  const headers = { 'accept-encoding': field.replaceAll(/\bx-gzip\b/gi, 'gzip') };
  return new Negotiator({ headers }).encoding(['gzip', 'identity']) === 'gzip';
});

/** Whether an `Accept-Encoding` field prefers gzip to plain bytes: RFC 9110, section 12.5.3. */
export function acceptsGzip(field: string | undefined): boolean {
  return field !== undefined && memo.of(field) === true;
}
