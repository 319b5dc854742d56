import type { Conditions, Tags } from '../../src/shared/raw-entries.ts';

/** Whether a request is carried out, or which of its conditions keeps it from that. */
export type Verdict = 'go on' | 'no match' | 'match';

/**
 * Judges the conditions of a request, in the order of RFC 9110, 13.2.2. Tags are compared by their characters: weak ones
 * have been sorted out before.
 * @param tag of the entry that is there; undefined where there is none. Called only where a tag is compared.
 * @returns `no match` where If-Match is not met, `match` where If-None-Match is not.
 */
export function judge({ ifMatch, ifNoneMatch }: Conditions, tag: (() => string) | undefined): Verdict {
  if (ifMatch !== undefined && !matches(ifMatch, tag)) return 'no match';
  return ifNoneMatch !== undefined && matches(ifNoneMatch, tag) ? 'match' : 'go on';
}

function matches(tags: Tags, tag: (() => string) | undefined): boolean {
  if (tag === undefined || tags.length === 0) return false;
  return tags === '*' || tags.includes(tag());
}
