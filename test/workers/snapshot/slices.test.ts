import { expect, test } from 'vitest';
import { RECORDS, readHeader } from '../../../src/shared/snapshot-format.ts';
import type { SnapshotOrder } from '../../../src/shared/snapshots.ts';
import {
  DELETED,
  HIT,
  MISS,
  STORED,
  encodeDelete,
  encodeGet,
  encodePut,
} from '../../../src/shared/protocol.ts';
import { createActor } from '../../support/test-actor.ts';

type Actor = ReturnType<typeof createActor>;

function fill({ ask }: Actor, count: number): void {
  for (let i = 0; i < count; i++) ask(encodePut(`key-${i}`, 'v'.repeat(500), 0));
}

function order({ handle }: Actor, request: SnapshotOrder): void {
  handle({ ...request, id: 1 });
}

/** Runs the slices that wait, one after the other. @returns how many there were. */
function runSlices({ deferred }: Actor, between: () => void = () => undefined): number {
  let slices = 0;
  for (let slice = deferred.shift(); slice; slice = deferred.shift()) {
    slice();
    slices++;
    between();
  }
  return slices;
}

const SAVE: SnapshotOrder = { kind: 'save', isFirst: true, isUrgent: false };

test('a section is made in slices, and requests are served between them', () => {
  const actor = createActor();
  fill(actor, 1000);
  order(actor, SAVE);
  expect(actor.actor.hasSlices).toBe(true);
  let served = 0;
  const slices = runSlices(actor, () => (served += actor.ask(encodeGet('key-999', false)).length));
  expect(slices).toBeGreaterThan(10);
  expect(served).toBe(slices);
  expect(actor.actor.hasSlices).toBe(false);
  const [reply] = actor.controls;
  expect(reply).toMatchObject({ kind: 'save', id: 1, section: { entries: 1000, goesOn: false } });
  if (reply.kind === 'save')
    expect(readHeader(reply.section!.bytes)).toMatchObject({ kind: RECORDS, pass: 1 });
});

test('the last snapshot is made at once', () => {
  const actor = createActor();
  fill(actor, 1000);
  order(actor, { ...SAVE, isUrgent: true });
  expect(actor.controls).toMatchObject([{ kind: 'save', section: { entries: 1000 } }]);
  order(actor, { kind: 'save', isFirst: false, isUrgent: true });
  expect(actor.controls.at(-1)).toStrictEqual({ kind: 'save', id: 1, section: undefined });
});

test.each(['before', 'meanwhile'])(
  'a shed order that comes %s goes first, and both come to their ends',
  (when) => {
    const actor = createActor();
    fill(actor, 5000);
    const shed = (): void => actor.handle({ kind: 'shed', id: 2, shedBytes: 2_000_000 });
    if (when === 'before') shed();
    order(actor, SAVE);
    if (when === 'meanwhile') shed();
    runSlices(actor);
    expect(actor.controls.map(({ kind }) => kind)).toStrictEqual(['shed', 'save']);
    actor.store.checkIntegrity();
  },
);

test('a snapshot that is given up, or begun anew, leaves nothing behind', () => {
  const actor = createActor();
  fill(actor, 1000);
  order(actor, SAVE);
  order(actor, { kind: 'save-end' });
  runSlices(actor);
  expect(actor.controls).toStrictEqual([{ kind: 'save-end', id: 1 }]);
  order(actor, SAVE);
  order(actor, SAVE);
  runSlices(actor);
  expect(actor.controls.slice(1)).toMatchObject([{ kind: 'save', section: { entries: 1000 } }]);
});

test('what clients delete before it comes is not there afterwards, whether or not they found it', () => {
  const from = createActor();
  fill(from, 100);
  order(from, { ...SAVE, isUrgent: true });
  const [saved] = from.controls;
  if (saved.kind !== 'save') throw new Error('no snapshot');
  const records = saved.section!.bytes.slice(32);
  // What is behind the records was in the section before, and does not count.
  const body = new ArrayBuffer(2 * records.length);
  new Uint8Array(body).set(records);
  new Uint8Array(body).set(records, records.length);

  const to = createActor();
  order(to, { kind: 'load-begin' });
  expect(to.ask(encodeDelete('key-7'))).toMatchObject([{ code: MISS }]);
  to.ask(encodePut('key-8', 'new', 0));
  expect(to.ask(encodeDelete('key-8'))).toMatchObject([{ code: DELETED }]);
  to.ask(encodePut('key-9', 'new', 0));
  order(to, { kind: 'load', section: RECORDS, body, bodyBytes: records.length, expected: 100 });
  runSlices(to);
  order(to, { kind: 'load-end' });
  expect(to.controls.at(-2)).toMatchObject({
    kind: 'load',
    counts: { loaded: 97, superseded: 3, expired: 0, keptOut: 0 },
    isOpen: true,
    body,
  });
  const codes = [6, 7, 8, 9].map((i) => to.ask(encodeGet(`key-${i}`, false))[0].code);
  expect(codes).toStrictEqual([HIT, MISS, MISS, HIT]);
  expect(to.store.get('key-9')).toBe('new');
});

test('a shard that was not told of a snapshot before its first request takes none', () => {
  const actor = createActor();
  expect(actor.ask(encodePut('a', 'v', 0))).toMatchObject([{ code: STORED }]);
  order(actor, { kind: 'load', section: RECORDS, body: new ArrayBuffer(64), bodyBytes: 64, expected: 1 });
  runSlices(actor);
  expect(actor.controls).toMatchObject([{ kind: 'load', isOpen: false }]);
});
