import { expect, test } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { makeFolder } from '../support/folder.ts';
import { getText } from '../support/http-text.ts';
import { RawSocket } from '../support/raw-socket.ts';
import { startTestServer } from '../support/server.ts';

test('over TLS every connection is forgotten, however it ends', async () => {
  const certificate = makeCertificate(makeFolder(), 'server');
  await using server = await startTestServer({
    SHARDS: '1',
    TLS_CERT_FILE: certificate.certFile,
    TLS_KEY_FILE: certificate.keyFile,
  });
  const { port, app } = server;
  for (let round = 0; round < 20; round++) {
    const begun = await RawSocket.open(port);
    begun.write(['', 'garbage', '\x16\x03\x01\x02\x00'][round % 3]);
    if (round % 2 === 0) begun.socket.resetAndDestroy();
    else begun.close();
    const raw = await RawSocket.open(port, { ca: certificate.pem });
    if (round % 3 > 0) raw.write(getText('none'));
    if (round % 3 > 1) await raw.until(/404/);
    if (round % 2 === 0) raw.close();
    else raw.socket.end();
  }
  await expect.poll(() => app.frontDoor.size).toBe(0);
});
