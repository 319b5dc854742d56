import { expect, test } from 'vitest';
import { ChildServer } from '../support/child-server.ts';
import { makeCertificate } from '../support/certificate.ts';
import { makeFolder } from '../support/folder.ts';
import { freePort } from '../support/free-port.ts';
import { HttpClient } from '../support/http-client.ts';
import { HAS_REDIS, RedisServer } from '../support/redis.ts';

test.skipIf(!HAS_REDIS)('rediss:// speaks TLS, and the log says when the engine comes and goes', async () => {
  const { certFile, keyFile } = makeCertificate(makeFolder(), 'engine');
  const tlsPort = await freePort();
  const files = ['--tls-cert-file', certFile, '--tls-key-file', keyFile, '--tls-ca-cert-file', certFile];
  await using redis = await RedisServer.start(
    '--tls-port',
    String(tlsPort),
    '--tls-auth-clients',
    'no',
    ...files,
  );
  const env = { TIER_URL: `rediss://127.0.0.1:${tlsPort}`, NODE_EXTRA_CA_CERTS: certFile, SHARDS: '1' };
  const { child, port } = await ChildServer.listening({ env });
  const client = new HttpClient(port);
  expect((await client.put('a', 'v')).status).toBe(201);
  expect(await redis.command('EXISTS', 'kvc:a')).toBe(1);
  expect(child.output).toContain(`the engine at 127.0.0.1:${tlsPort} is connected`);
  await redis.kill();
  await expect.poll(() => child.output).toContain(`the engine at 127.0.0.1:${tlsPort} is gone`);
  client.close();
});
