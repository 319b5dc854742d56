import { describe, expect, test } from 'vitest';
import type { Measurement } from '../../bench/http/measurement.ts';
import { bodyBounds } from '../../bench/http/requests.ts';
import { parseOptions } from '../../bench/http/options.ts';
import { Recorder } from '../../bench/http/recorder.ts';
import type { LoadedPeer } from '../../bench/http/peers/peer.ts';
import { planOf } from '../../bench/http/plan.ts';
import { inRound, stepsOf } from '../../bench/http/run.ts';
import { pairedRatios } from '../../bench/http/summary.ts';
import { judgeTargets } from '../../bench/http/targets.ts';
import { workloadNamed } from '../../bench/http/workloads.ts';

function measurement(peer: string, round: number, change: Partial<Measurement> = {}): Measurement {
  return {
    peer,
    workload: 'get-hits',
    round,
    requests: 1000,
    seconds: 1,
    p50Micros: 1000,
    p97_5Micros: 2000,
    p99Micros: 3000,
    maxMicros: 4000,
    errors: {},
    cpuMicros: 20_000,
    mainThreadCpuMicros: 18_000,
    residentBytes: 1,
    generatorShare: 0.5,
    ...change,
  };
}

const ROUNDS = [1, 2, 3];
const PROCESSOR = 'GET: processor time per request ÷ bare Fastify';

function judge(ours: Partial<Measurement>, theirs: Partial<Measurement> = {}) {
  const measurements = ROUNDS.flatMap((round) => [
    measurement('kvc', round, ours),
    measurement('fastify', round, theirs),
  ]);
  return judgeTargets(measurements, undefined).find(({ name }) => name === PROCESSOR)!;
}

describe('a target', () => {
  test('is judged by the quotient of each round with the same round of the other', () => {
    expect(judge({ cpuMicros: 22_000 })).toMatchObject({ value: 1.1, isMet: true });
    expect(judge({ cpuMicros: 24_000 })).toMatchObject({ value: 1.2, isMet: false });
  });

  test.each([
    [{ errors: { 'status 503': 1 } }, {}],
    [{}, { errors: { 'too short': 1 } }],
  ])('is not measured by who answers wrongly: %o, %o', (ours, theirs) => {
    const { value, isMet } = judge(ours, theirs);
    expect(value).toBeNaN();
    expect(isMet).toBe(false);
  });
});

test('a slow minute weighs on both sides of a ratio', () => {
  const measurements = ROUNDS.flatMap((round) => [
    measurement('a', round, { cpuMicros: 30_000 * round }),
    measurement('b', round, { cpuMicros: 10_000 * round }),
  ]);
  const [above, below] = ['a', 'b'].map((peer) => ({ peer, workload: 'get-hits' }));
  const ratios = pairedRatios(measurements, above, below, (each) => each.cpuMicros);
  expect(ratios).toStrictEqual([3, 3, 3]);
});

test.each([[['a', 'b']], [['a', 'b', 'c']], [['a', 'b', 'c', 'd']]])(
  'of %s everybody has a turn in each round, and nobody always follows the same one',
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
  const options = { quick: false, only: ['get-hits', 'put', 'pipelined'], rounds: 4, out: '' };
  const plan = planOf(options, () => undefined);
  const peers = plan.peers.filter(({ name }) => ['kvc', 'fastify'].includes(name));
  const servers = new Map(
    peers.map((peer): [string, LoadedPeer] => [
      peer.name,
      { peer, dataSets: [], port: 0, pids: [], stop: () => Promise.resolve(), outputTail: () => '' },
    ]),
  );
  const names = stepsOf(plan, servers).map(({ workload, loaded }) => `${loaded.peer.name} ${workload.name}`);
  for (const { name } of peers) {
    const pairs = names.flatMap((step, i) =>
      step === `${name} put` ? [[names[i - 1], names[i + 1]].indexOf(`${name} get-hits`)] : [],
    );
    expect(new Set(pairs), name).toStrictEqual(new Set([0, 1]));
  }
});

test('a server that answers nothing at all is at fault', () => {
  const [silent, right] = [0, 1].map((answers) => {
    const recorder = new Recorder([200], { least: 0, most: 10 }, false);
    recorder.start([]);
    for (let i = 0; i < answers; i++) recorder.onAnswer(200, 1);
    return recorder.stop([]);
  });
  expect([silent.errors, right.errors]).toStrictEqual([{ 'no answer at all': 1 }, {}]);
});

test('the command line: a part goes to its own folder, and what is not a count is refused', () => {
  expect(parseOptions(['--quick'])).toMatchObject({ rounds: 3, out: 'bench/results/raw' });
  expect(parseOptions([])).toMatchObject({ rounds: 8, out: 'bench/results' });
  for (const rounds of ['0', '1.5', 'x', '']) {
    expect(() => parseOptions(['--rounds', rounds])).toThrow('--rounds: a whole number from 1 on');
  }
});

test('a body tells a hit from a miss, and whether it was compressed', () => {
  expect(bodyBounds(workloadNamed('get-hits')).least).toBe(100);
  expect(bodyBounds(workloadNamed('gzip')).most).toBeLessThan(10_240);
});
