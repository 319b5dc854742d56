import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { guardedServer } from '../../support/guarded-server.ts';
import { RawSocket } from '../../support/raw-socket.ts';

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: test\r\n\r\n`;

/** A server that answers when the test says so, its client, and what was written to the connection. */
class Scene {
  readonly responses: readonly ServerResponse[];
  readonly writes: string[] = [];
  readonly raw: RawSocket;

  private constructor(responses: readonly ServerResponse[], raw: RawSocket) {
    this.responses = responses;
    this.raw = raw;
  }

  static async open(): Promise<Scene> {
    const responses: ServerResponse[] = [];
    const { server } = guardedServer((_request, response) => responses.push(response), {
      limits: { requests: 1000 },
    });
    const connected = once(server, 'connection');
    const raw = await RawSocket.openTo(server);
    const scene = new Scene(responses, raw);
    const [socket]: Socket[] = await connected;
    scene.watch(socket);
    return scene;
  }

  async ask(...requests: readonly string[]): Promise<void> {
    this.raw.write(requests.join(''));
    await expect.poll(() => this.responses.length).toBe(requests.length);
  }

  answer(...numbers: readonly number[]): void {
    for (const number of numbers) {
      const response = this.responses[number];
      response.writeHead(200, { 'content-length': '2' });
      response.end(`#${number}`, 'latin1');
    }
  }

  /** The bodies that have come in. */
  get bodies(): string[] {
    return [...this.raw.text.matchAll(/#\d/g)].map(([body]) => body);
  }

  private watch(socket: Socket): void {
    const write = socket.write.bind(socket);
    socket.write = (chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
      if (chunk.length > 0) this.writes.push(String(chunk));
      return Reflect.apply(write, undefined, [chunk, ...rest]);
    };
  }
}

test('answers that are ready together leave in one write, in their order', async () => {
  const scene = await Scene.open();
  await scene.ask(get('/0'), get('/1'), get('/2'), get('/3'), get('/4'));
  const turnOver = nextTurn();
  scene.answer(3, 2, 1, 0);
  await turnOver;
  expect(scene.writes).toHaveLength(1);
  await scene.raw.until(/#3/);
  expect(scene.bodies).toStrictEqual(['#0', '#1', '#2', '#3']);
  expect(scene.writes).toHaveLength(1);
});

test('an answer whose successor is not complete is written at once', async () => {
  const scene = await Scene.open();
  await scene.ask(get('/0'), get('/1'));
  scene.answer(0);
  expect(scene.writes).toHaveLength(1);
});

test('an answer does not wait for one that is not complete', async () => {
  const scene = await Scene.open();
  await scene.ask(get('/0'), get('/1'), get('/2'));
  scene.responses[1].writeHead(200, { 'content-length': '2' });
  scene.responses[1].write('#', 'latin1');
  scene.answer(0);
  await scene.raw.until(/#0[^]*#/);
  scene.responses[1].end('1', 'latin1');
  scene.answer(2);
  await scene.raw.until(/#2/);
  expect(scene.bodies).toStrictEqual(['#0', '#1', '#2']);
});

test('a part of an answer does not wait for the rest of it', async () => {
  const scene = await Scene.open();
  await scene.ask(get('/0'), get('/1'));
  scene.answer(1);
  scene.responses[0].writeHead(200, { 'content-length': '4' });
  scene.responses[0].write('part', 'latin1');
  await scene.raw.until(/part/);
  scene.responses[0].end();
  await scene.raw.until(/#1/);
});

test('what was kept is sent before the connection is closed', async () => {
  const scene = await Scene.open();
  await scene.ask(get('/0'), get('/1'), get('/2'));
  scene.responses[1].setHeader('connection', 'close');
  scene.answer(2, 1, 0);
  await scene.raw.ended();
  expect(scene.bodies).toStrictEqual(['#0', '#1']);
});

test('bytes leave behind the text before them', async () => {
  const scene = await Scene.open();
  await scene.ask(get('/0'), get('/1'), get('/2'));
  scene.answer(2);
  scene.responses[1].writeHead(200, { 'content-length': '2' });
  scene.responses[1].end(Buffer.from('#1'));
  scene.answer(0);
  await scene.raw.until(/#2/);
  expect(scene.bodies).toStrictEqual(['#0', '#1', '#2']);
});

test('a client that takes nothing holds up what comes after', async () => {
  const scene = await Scene.open();
  const text = 'x'.repeat(40_000);
  const requests = Array.from({ length: 400 }, (_, i) => get(`/${i}`));
  scene.raw.socket.pause();
  await scene.ask(...requests);
  for (const response of scene.responses) {
    response.writeHead(200, { 'content-length': text.length + 1 });
    response.write(text, 'latin1');
    response.end('y', 'latin1');
  }
  let closed = 0;
  for (const response of scene.responses) response.once('close', () => closed++);
  await expect.poll(() => scene.responses.some(({ socket }) => (socket?.writableLength ?? 0) > 0)).toBe(true);
  expect(closed).toBeLessThan(scene.responses.length - 1);
  scene.raw.socket.resume();
  await expect.poll(() => scene.raw.text.split(`${text}y`).length).toBe(scene.responses.length + 1);
  await expect.poll(() => closed).toBe(scene.responses.length);
});
