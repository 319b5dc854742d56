import { expect, test } from 'vitest';
import { Batching } from '../../src/shards/batching.ts';

/** A batching whose shard replies only when told to. */
class Scene {
  readonly posted: string[] = [];
  turnsEnded = 0;
  isIdle = true;
  readonly batching = new Batching({
    post: (batch) => {
      this.posted.push(batch);
      this.isIdle = false;
    },
    onTurnEnd: () => void this.turnsEnded++,
  });

  add(...requests: readonly string[]): void {
    for (const request of requests) this.batching.add(request, this.isIdle);
  }

  reply(): void {
    this.isIdle = true;
    this.batching.release();
  }
}

function turnEnds(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

test('the requests of one turn are posted as one batch when the turn ends', async () => {
  const scene = new Scene();
  scene.add('a', 'b', 'c');
  expect(scene.posted).toStrictEqual([]);
  await turnEnds();
  expect([scene.posted, scene.turnsEnded]).toStrictEqual([['abc'], 1]);
});

test('four requests wait for a turn that adds none', async () => {
  const scene = new Scene();
  scene.add('a', 'b', 'c', 'd');
  await turnEnds();
  scene.add('e');
  await turnEnds();
  expect(scene.posted).toStrictEqual([]);
  await turnEnds();
  expect([scene.posted, scene.turnsEnded]).toStrictEqual([['abcde'], 1]);
});

test('a batch waits until the one before has been answered, then for the end of the turn', async () => {
  const scene = new Scene();
  scene.add('a');
  await turnEnds();
  scene.add('b');
  await turnEnds();
  scene.add('c');
  await turnEnds();
  expect(scene.posted).toStrictEqual(['a']);
  scene.reply();
  expect(scene.posted).toStrictEqual(['a']);
  await turnEnds();
  expect(scene.posted).toStrictEqual(['a', 'bc']);
});

test('a long batch is posted at once', () => {
  const scene = new Scene();
  const request = 'x'.repeat(2 ** 13);
  let added = 0;
  while (scene.posted.length === 0 && added < 64) {
    scene.add(request);
    added++;
  }
  expect(added * request.length).toBeGreaterThan(2 ** 17);
  expect(added * request.length).toBeLessThanOrEqual(2 ** 18);
});

test('a flush posts what there is, and nothing twice', async () => {
  const scene = new Scene();
  scene.batching.flush();
  scene.add('a', 'b');
  scene.batching.flush();
  scene.batching.flush();
  await turnEnds();
  expect(scene.posted).toStrictEqual(['ab']);
});

test('a batch that was forgotten is not posted', async () => {
  const scene = new Scene();
  scene.add('a');
  scene.batching.clear();
  await turnEnds();
  expect(scene.posted).toStrictEqual([]);
});
