import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { makeCertificate } from '../../support/certificate.ts';
import { makeFolder } from '../../support/folder.ts';
import { guardedServer } from '../../support/guarded-server.ts';
import { RawSocket } from '../../support/raw-socket.ts';

const GET = 'GET / HTTP/1.1\r\nhost: test\r\n\r\n';

test('over TLS an idle connection makes room for others after ten seconds, not before', async () => {
  const { keyFile, pem } = makeCertificate(makeFolder(), 'server');
  const clock = { ms: 5000 };
  const { server, door } = guardedServer((_request, response) => response.end('answered'), {
    doorLimits: { maxConnections: 1, reserve: 1, waiting: 0, stalledTimeoutMs: 30_000 },
    nowMs: () => clock.ms,
    tls: { cert: pem, key: readFileSync(keyFile, 'utf8') },
  });
  // Nothing else closes an idle connection.
  server.keepAliveTimeout = 0;
  onTestFinished(() => void server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const sweepUntil = (ms: number): void => {
    while (clock.ms < ms) door.sweep((clock.ms += 100));
  };
  const open = async (): Promise<RawSocket> => {
    const raw = await RawSocket.open(port, { ca: pem });
    onTestFinished(() => raw.close());
    return raw;
  };
  const comeInVain = async (): Promise<void> => {
    const raw = await open();
    raw.write(GET);
    expect(await raw.ended()).toMatch(/^HTTP\/1\.1 503/);
  };

  const idle = await open();
  idle.write(GET);
  await idle.until(/answered$/);
  sweepUntil(14_800);
  await comeInVain();
  sweepUntil(14_900);
  await comeInVain();
  expect(idle.isEnded).toBe(false);
  sweepUntil(15_000);
  await idle.ended();
});
