import type { Conditions, Tags } from '../../src/shared/raw-entries.ts';
import type { Command } from './connection.ts';
import { MAGIC, TAG_END, TAG_START } from './record.ts';
import { TAG_CHARACTERS } from '../../src/shared/segment-sizes.ts';

/** What a conditional write has come to. */
export const NOT_MET = 0;
export const MET_NEW = 1;
export const MET_OLD = 2;

/**
 * Judges the conditions in the order of RFC 9110, 13.2.2, as `conditions.ts` does for reads. What is no entry of this cache
 * is nothing.
 */
const JUDGE = `
local head = redis.pcall('GETRANGE', KEYS[1], 0, ${TAG_END - 1})
local tag = nil
if type(head) == 'string' and string.sub(head, 1, ${TAG_START}) == '${MAGIC}' then
  tag = string.sub(head, ${TAG_START + 1})
end
local function matches(tags)
  if not tag then return false end
  if tags == '*' then return true end
  for i = 1, #tags, ${TAG_CHARACTERS} do
    if string.sub(tags, i, i + ${TAG_CHARACTERS - 1}) == tag then return true end
  end
  return false
end
if ARGV[1] ~= '-' and not matches(ARGV[1]) then return ${NOT_MET} end
if ARGV[2] ~= '-' and matches(ARGV[2]) then return ${NOT_MET} end
`;

const PUT = `${JUDGE}
if ARGV[4] == '0' then redis.call('SET', KEYS[1], ARGV[3])
else redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) end
return tag and ${MET_OLD} or ${MET_NEW}
`;

const DELETE = `${JUDGE}
redis.call('UNLINK', KEYS[1])
return tag and ${MET_OLD} or ${MET_NEW}
`;

/** @param ttlMs 0 for none. */
export function conditionalPut(
  name: string,
  record: Buffer,
  ttlMs: number,
  { ifMatch, ifNoneMatch }: Conditions,
): Command {
  return ['EVAL', PUT, '1', name, tagsText(ifMatch), tagsText(ifNoneMatch), record, String(ttlMs)];
}

export function conditionalDelete(name: string, { ifMatch, ifNoneMatch }: Conditions): Command {
  return ['EVAL', DELETE, '1', name, tagsText(ifMatch), tagsText(ifNoneMatch)];
}

function tagsText(tags: Tags | undefined): string {
  if (tags === undefined) return '-';
  return tags === '*' ? '*' : tags.filter((tag) => tag.length === TAG_CHARACTERS).join('');
}
