import { timingSafeEqual } from 'node:crypto';

export interface Tokens {
  readonly token: string | undefined;
  /** May only read. */
  readonly readToken: string | undefined;
}

/** The case of a scheme's name means nothing: RFC 9110, section 11.1. */
const AUTHORIZATION = /^(bearer|basic) +(\S+) *$/i;

/** What a client may do that sends this `Authorization`. */
export function grantOf(authorization: string | undefined, tokens: Tokens): 'all' | 'read' | 'none' {
  const shown = shownBy(authorization ?? '');
  if (shown.some((text) => isSame(text, tokens.token))) return 'all';
  return shown.some((text) => isSame(text, tokens.readToken)) ? 'read' : 'none';
}

/** What may be the token: in Basic it is the password or the user, since clients differ in what they let one set. */
function shownBy(authorization: string): string[] {
  const [, scheme, credentials] = AUTHORIZATION.exec(authorization) ?? [];
  if (scheme === undefined) return [];
  if (scheme.toLowerCase() === 'bearer') return [credentials];
  // Node takes base64url here as well, which Bazel sends.
  const text = Buffer.from(credentials, 'base64').toString('latin1');
  const colon = text.indexOf(':');
  return colon < 0 ? [] : [text.slice(colon + 1), text.slice(0, colon)];
}

/** Takes the same time wherever the two differ. */
function isSame(shown: string, token: string | undefined): boolean {
  if (token === undefined) return false;
  const [one, other] = [Buffer.from(shown, 'latin1'), Buffer.from(token, 'latin1')];
  return one.length === other.length && timingSafeEqual(one, other);
}
