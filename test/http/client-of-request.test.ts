import { expect, onTestFinished, test, vi } from 'vitest';
import { getText, putText } from '../support/http-text.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { startTestServer } from '../support/server.ts';

const DELETE = 'DELETE /cache/k HTTP/1.1\r\nhost: test\r\n\r\n';

test('the mailbox learns which requests come on one connection', async () => {
  await using server = await startTestServer({ SHARDS: '1' });
  const sends = vi.spyOn(server.router.shards[0].mailbox!, 'send');
  const raws = [await RawSocket.open(server.port), await RawSocket.open(server.port)];
  onTestFinished(() => raws.forEach((raw) => raw.close()));
  const connections: unknown[][] = [];
  for (const raw of raws) {
    for (const request of [putText('k', 'v'), getText('k'), DELETE]) {
      raw.text = '';
      raw.write(request);
      await raw.until(/^HTTP[^]*(\}|204[^]*\r\n\r\n)$/);
    }
    connections.push(sends.mock.calls.splice(0).map(([, receiver]) => receiver.connection));
  }
  for (const ofOne of connections) {
    expect(ofOne).toHaveLength(3);
    expect(ofOne[0]).toBeDefined();
    expect(new Set(ofOne).size).toBe(1);
  }
  expect(connections[0][0]).not.toBe(connections[1][0]);
});
