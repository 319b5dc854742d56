import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Measurement, pairedRatios } from '../../bench/http/measurement.ts';
import { PEERS } from '../../bench/http/peers.ts';
import { optionsOf, planOf, stepsOf } from '../../bench/http/plan.ts';
import { Recorder } from '../../bench/http/recorder.ts';
import { judgeHttp } from '../../bench/http/report.ts';
import { expectedOf } from '../../bench/http/requests.ts';
import { effectOf } from '../../bench/http/shed.ts';
import { WORKLOADS } from '../../bench/http/workloads.ts';
import { parseCount, parseNames } from '../../bench/lib/flags.ts';
import { inRound } from '../../bench/lib/statistics.ts';
import { longestRecurring } from '../../bench/store/timing.ts';
import { isMet, TARGETS, wanted } from '../../bench/targets.ts';

const ROUNDS = [1, 2, 3];

function measurement(peer: string, round: number, change: Partial<Measurement> = {}): Measurement {
  return {
    peer,
    workload: 'get-hits',
    round,
    requests: 1000,
    requestsPerSecond: 1000,
    p50Micros: 1000,
    p97_5Micros: 2000,
    p99Micros: 3000,
    errors: 0,
    errorKinds: {},
    cpuMicros: 20,
    mainThreadMicros: 18,
    residentBytes: 1,
    generatorShare: 0.5,
    ...change,
  };
}

function judge(ours: Partial<Measurement>, theirs: Partial<Measurement> = {}) {
  const measurements = ROUNDS.flatMap((round) => [
    measurement('kvc', round, ours),
    measurement('fastify', round, theirs),
  ]);
  return judgeHttp(measurements, undefined).find(({ target }) => target === TARGETS.getProcessor)!;
}

describe('a target', () => {
  test('is judged by the ratio of each round to the same round of the other', () => {
    const [kept, missed] = [22, 24].map((cpuMicros) => judge({ cpuMicros }));
    expect([kept.value, missed.value]).toStrictEqual([1.1, 1.2]);
    expect([isMet(kept), isMet(missed)]).toStrictEqual([true, false]);
  });

  test.each([
    [{ errors: 1 }, {}],
    [{}, { errors: 1 }],
  ])('is not measured by a server that answers wrongly: %o, %o', (ours, theirs) => {
    const verdict = judge(ours, theirs);
    expect(verdict.value).toBeNaN();
    expect(isMet(verdict)).toBe(false);
  });

  test('is listed in docs/performance.md with the same limit', () => {
    const page = readFileSync(new URL('../../docs/performance.md', import.meta.url), 'utf8');
    const rows = page.split('\n').map((line) => line.split('|').map((cell) => cell.trim()));
    for (const target of Object.values(TARGETS)) {
      expect(rows.find((cells) => cells[1] === target.name)?.[2], target.name).toBe(wanted(target));
    }
  });
});

test('a slow minute weighs on both sides of a ratio', () => {
  const [above, below] = [30_000, 10_000].map((micros) =>
    ROUNDS.map((round) => measurement('any', round, { cpuMicros: micros * round })),
  );
  expect(pairedRatios(above, below, 'cpuMicros')).toStrictEqual([3, 3, 3]);
});

test.each([[['a', 'b']], [['a', 'b', 'c']], [['a', 'b', 'c', 'd']]])(
  'each of %s has a turn in each round, and none always follows the same one',
  (items) => {
    const turns = [0, ...ROUNDS].map((round) => inRound(items, round));
    for (const turn of turns) expect(turn.toSorted()).toStrictEqual(items);
    const order = turns.flat();
    for (const item of items) {
      const predecessors = order.filter((_, i) => i + 1 < order.length && order[i + 1] === item);
      expect(new Set(predecessors).size, item).toBeGreaterThan(1);
    }
  },
);

test('each server has a workload right before or after the one that judges it', () => {
  const plan = planOf({ quick: false, only: ['get-hits', 'put', 'pipelined'], rounds: 4 });
  const peers = PEERS.filter(({ name }) => ['kvc', 'fastify'].includes(name));
  const names = stepsOf(plan, peers).map(({ workload, peer }) => `${peer.name} ${workload.name}`);
  for (const { name } of peers) {
    const pairs = names.flatMap((step, i) =>
      step === `${name} put` ? [[names[i - 1], names[i + 1]].indexOf(`${name} get-hits`)] : [],
    );
    expect(new Set(pairs), name).toStrictEqual(new Set([0, 1]));
  }
});

test('a server that answers nothing at all is at fault', () => {
  const [silent, right] = [0, 1].map((answers) => {
    const recorder = new Recorder({ statuses: [200], minBytes: 0, maxBytes: 10 }, []);
    recorder.start();
    for (let i = 0; i < answers; i++) recorder.onAnswer(200, 1);
    return recorder.stop().sample;
  });
  expect([silent.errorKinds, right.errorKinds]).toStrictEqual([{ 'no answer at all': 1 }, {}]);
});

test('a body tells a hit from a miss, and whether it was compressed', () => {
  const [hits, gzip] = ['get-hits', 'gzip'].map((name) => WORKLOADS.find((each) => each.name === name)!);
  expect(expectedOf(hits, 'webdis').minBytes).toBe(100);
  expect(expectedOf(gzip, 'cache').maxBytes).toBeLessThan(10_240);
});

test('the command line: a count that is none and unknown names are refused', () => {
  expect(optionsOf({ quick: true, only: 'kvc,put' })).toStrictEqual({
    quick: true,
    only: ['kvc', 'put'],
    rounds: 3,
  });
  for (const text of ['0', '1.5', 'x', '']) {
    expect(() => parseCount('rounds', text)).toThrow('--rounds: a whole number from 1 on');
  }
  expect(() => parseNames('only', 'a,c', ['a', 'b'])).toThrow('--only: unknown c');
});

test('the effect of shed orders: answers during them against those of the seconds before', () => {
  const at = new Date(10_000).toISOString();
  const timeline = {
    atMs: [6_000, 8_000, 10_050, 10_200],
    latencyMicros: [900, 10, 30, 900],
  };
  expect(effectOf([{ at, tookMs: 100 }], timeline)).toStrictEqual({
    beforeP99Micros: 10,
    duringP99Micros: 30,
  });
});

test.each([
  ['as long as in the round where it was quickest', [[[70_000, 9]], [[70_040, 7]], [[69_990, 8]]], 7],
  [
    'not if it came elsewhere',
    [
      [
        [100, 42],
        [9_000, 2],
      ],
      [
        [700, 38],
        [9_000, 3],
      ],
    ],
    2,
  ],
  ['not if it came once', [[[100, 42]], []], 0],
] as const)('a slow operation that recurs counts %s', (_, rounds, expected) => {
  expect(longestRecurring(rounds)).toBe(expected);
});
