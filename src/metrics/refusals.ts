/** Why a request is refused though it may be right: each with the answer that says so. */
export const REFUSALS = {
  shard_busy: '503, the queue or the reply window of the shard is full, or it has no room for a large value',
  shard_unavailable: '503, the shard is restarting',
  shard_deadline: '503, the shard did not answer in time',
  tier_unavailable: '503, the engine behind the cache is gone, or has refused the request',
  bodies: '503, too many large bodies are being received',
  connections: '503, all connections are in use',
  admin: '503, too many pages and reports are being answered',
  rate_limit: '429, more than RATE_LIMIT',
  unauthorized: '401, no token or a wrong one',
  slow_body: '408, a body came too slowly while others waited',
} as const;

/** Why the server closes a connection that its client would have kept. */
export const CUT_OFFS = {
  waited: 'found no place at the door',
  made_room: 'held a place without using it while others found none',
  stalled: 'took nothing of an answer for too long',
  slow_answer: 'took too long for a large answer while others waited',
  unanswered: 'too many requests without an answer',
  unread_bodies: 'too many bytes of bodies before there was room for them',
  held_answers: 'too many bytes of answers that could not leave',
} as const;

export type Refusal = keyof typeof REFUSALS;
export type CutOff = keyof typeof CUT_OFFS;

/** How often each has happened, since the start. */
export class RefusalCounts {
  readonly refusals = zeros(REFUSALS);
  readonly cutOffs = zeros(CUT_OFFS);
}

function zeros<Name extends string>(names: Readonly<Record<Name, string>>): Record<Name, number> {
  return Object.fromEntries(Object.keys(names).map((name) => [name, 0])) as Record<Name, number>;
}
