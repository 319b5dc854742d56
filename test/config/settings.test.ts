import { describe, expect, test } from 'vitest';
import { publicSettings, readSettings, settingsHelp, settingsInForce } from '../../src/config/settings.ts';
import { defaultFronts, defaultShards } from '../../src/config/threads.ts';

const NAMES = [
  'HOST',
  'PORT',
  'SHARDS',
  'FRONTS',
  'MEMORY_LIMIT',
  'MEMORY_THRESHOLD',
  'SHED_FRACTION',
  'SUPERVISOR_INTERVAL_MS',
  'CAPACITY',
  'MAX_KEY_LENGTH',
  'MAX_VALUE_BYTES',
  'MAX_RAW_BYTES',
  'GZIP_THRESHOLD_BYTES',
  'REQUEST_DEADLINE_MS',
  'SHARD_QUEUE_LIMIT',
  'AUTH_TOKEN',
  'AUTH_TOKEN_FILE',
  'AUTH_READ_TOKEN',
  'AUTH_READ_TOKEN_FILE',
  'TLS_CERT_FILE',
  'TLS_KEY_FILE',
  'RATE_LIMIT',
  'SHUTDOWN_DELAY_MS',
  'TRUST_PROXY',
  'CORS_ORIGIN',
  'SNAPSHOT_FILE',
  'SNAPSHOT_INTERVAL',
  'TIER_URL',
  'TIER_UNAVAILABLE',
  'LOG_LEVEL',
];

/** One of each kind of fault per setting. */
const FAULTS: readonly (readonly [name: string, ...values: string[]])[] = [
  ['PORT', '-1', '65536', '80.5', 'http', '0x50', '1e3'],
  ['SHARDS', '0', '65', '1.5', 'two', '-1'],
  ['FRONTS', '0', '65', '1.5', 'two', '-1'],
  ['MEMORY_LIMIT', '0', '1023kb', 'lots', '-5mb', '1pb'],
  ['MEMORY_THRESHOLD', '0', '0.96', '70%', '-0.5', '.7'],
  ['SHED_FRACTION', '0', '1.01', 'tenth'],
  ['SUPERVISOR_INTERVAL_MS', '9', '60001', '10.5', 'fast'],
  ['CAPACITY', '-1', '2147483648', '1.5', 'all'],
  ['MAX_KEY_LENGTH', '0', '4097', 'long'],
  ['MAX_VALUE_BYTES', '0', '65mb', 'big'],
  ['MAX_RAW_BYTES', '0', '257mb', 'big'],
  ['GZIP_THRESHOLD_BYTES', '65mb', 'never', '-1'],
  ['REQUEST_DEADLINE_MS', '9', '60001', 'soon'],
  ['SHARD_QUEUE_LIMIT', '0', '65537', 'none'],
  ['SHUTDOWN_DELAY_MS', '-1', '60001', '5s'],
  [
    'TRUST_PROXY',
    'true',
    '1',
    '10.0.0.0/33',
    '10.0.0/8',
    '10.0.0.1:80',
    '::1/129',
    'proxy.example',
    '10.0.0.1,',
    '1.2.3.4/8/8',
    '1.2.3.4/',
    '1.2.3.4/-1',
  ],
  ['TIER_UNAVAILABLE', '404', 'Miss'],
  ['LOG_LEVEL', 'loud', 'INFO'],
];

describe('readSettings', () => {
  test('has the documented defaults', () => {
    const { settings } = readSettings({ SHARDS: '3', FRONTS: '2' });
    expect(settings).toStrictEqual({
      HOST: '0.0.0.0',
      PORT: 7171,
      SHARDS: 3,
      FRONTS: 2,
      MEMORY_LIMIT: undefined,
      MEMORY_THRESHOLD: 0.7,
      SHED_FRACTION: 0.1,
      SUPERVISOR_INTERVAL_MS: 250,
      CAPACITY: 0,
      MAX_KEY_LENGTH: 256,
      MAX_VALUE_BYTES: 2 ** 20,
      MAX_RAW_BYTES: 64 * 2 ** 20,
      GZIP_THRESHOLD_BYTES: 1024,
      REQUEST_DEADLINE_MS: 1000,
      SHARD_QUEUE_LIMIT: 4096,
      AUTH_TOKEN: '',
      AUTH_TOKEN_FILE: '',
      AUTH_READ_TOKEN: '',
      AUTH_READ_TOKEN_FILE: '',
      CORS_ORIGIN: '',
      SNAPSHOT_FILE: '',
      SNAPSHOT_INTERVAL: 0,
      TLS_CERT_FILE: '',
      TLS_KEY_FILE: '',
      RATE_LIMIT: 0,
      SHUTDOWN_DELAY_MS: 0,
      TRUST_PROXY: '',
      TIER_URL: '',
      TIER_UNAVAILABLE: '503',
      LOG_LEVEL: 'info',
    });
  });

  test('takes from 1 to 64 shards', () => {
    const { settings } = readSettings({});
    expect(settings!.SHARDS).toBeGreaterThanOrEqual(1);
    expect(settings!.SHARDS).toBeLessThanOrEqual(64);
  });

  test.each([
    [1, 0, 1],
    [5, 0, 1],
    [6, 0, 2],
    [32, 0, 7],
    [1000, 0, 64],
    [32, 1, 1],
    [32, 1999, 1],
    [32, 2000, 2],
    [32, 6000, 6],
    [32, 1_000_000, 7],
    [1, 1_000_000, 1],
  ])('with %i processors and a capacity of %i there are %i shards', (processors, capacity, shards) => {
    expect(defaultShards(processors, capacity)).toBe(shards);
  });

  test.each([
    [1, 1],
    [2, 1],
    [4, 3],
    [8, 6],
    [16, 12],
    [32, 25],
    [256, 64],
  ])(
    'with %i processors there are %i HTTP threads, and fewer where memory is small',
    (processors, fronts) => {
      const shards = defaultShards(processors, 0);
      expect(defaultFronts(processors, shards, 2 ** 40)).toBe(fronts);
      expect(defaultFronts(processors, shards, 2 ** 30)).toBe(Math.min(2, fronts));
      expect(defaultFronts(processors, shards, 2 ** 27)).toBe(1);
    },
  );

  test('knows the machine and MEMORY_LIMIT', () => {
    const machine = { processors: 8, memoryBytes: 2 ** 31, sharesPort: true };
    expect(readSettings({}, machine).settings).toMatchObject({ SHARDS: 2, FRONTS: 4 });
    expect(readSettings({ MEMORY_LIMIT: '1gb' }, machine).settings).toMatchObject({ SHARDS: 2, FRONTS: 2 });
    expect(readSettings({ SHARDS: '7' }, machine).settings).toMatchObject({ SHARDS: 7, FRONTS: 1 });
    const alone = { ...machine, sharesPort: false };
    expect(readSettings({}, alone).settings).toMatchObject({ SHARDS: 2, FRONTS: 1 });
    expect(readSettings({ FRONTS: '9' }, machine).settings).toMatchObject({ SHARDS: 2, FRONTS: 9 });
  });

  test('a small capacity alone is taken on every machine, and one with shards as it says', () => {
    expect(readSettings({ CAPACITY: '1' }).settings).toMatchObject({ SHARDS: 1, CAPACITY: 1 });
    expect(readSettings({ CAPACITY: '8', SHARDS: '8' }).settings).toMatchObject({ SHARDS: 8, CAPACITY: 8 });
    expect(readSettings({ CAPACITY: '1', SHARDS: '' }).settings).toMatchObject({ SHARDS: 1 });
  });

  test('reads every setting', () => {
    const { settings } = readSettings({
      HOST: 'localhost',
      PORT: '0',
      SHARDS: '64',
      FRONTS: '64',
      MEMORY_LIMIT: '512mb',
      MEMORY_THRESHOLD: '0.95',
      SHED_FRACTION: '1',
      SUPERVISOR_INTERVAL_MS: '10',
      CAPACITY: '2147483647',
      MAX_KEY_LENGTH: '4096',
      MAX_VALUE_BYTES: '8mb',
      MAX_RAW_BYTES: '256mb',
      GZIP_THRESHOLD_BYTES: '0',
      REQUEST_DEADLINE_MS: '60000',
      SHARD_QUEUE_LIMIT: '1',
      AUTH_TOKEN: 's3cret',
      AUTH_TOKEN_FILE: '/run/token',
      AUTH_READ_TOKEN: 'r3ad',
      AUTH_READ_TOKEN_FILE: '/run/read',
      CORS_ORIGIN: '*',
      SNAPSHOT_FILE: '/var/cache/snapshot',
      SNAPSHOT_INTERVAL: '300',
      TLS_CERT_FILE: 'cert.pem',
      TLS_KEY_FILE: 'key.pem',
      RATE_LIMIT: '1000',
      SHUTDOWN_DELAY_MS: '60000',
      TRUST_PROXY: 'loopback, 10.0.0.0/8',
      TIER_URL: 'rediss://user:pass@a:1,b',
      TIER_UNAVAILABLE: 'miss',
      LOG_LEVEL: 'silent',
    });
    expect(settings).toStrictEqual({
      HOST: 'localhost',
      PORT: 0,
      SHARDS: 64,
      FRONTS: 64,
      MEMORY_LIMIT: 512 * 2 ** 20,
      MEMORY_THRESHOLD: 0.95,
      SHED_FRACTION: 1,
      SUPERVISOR_INTERVAL_MS: 10,
      CAPACITY: 2 ** 31 - 1,
      MAX_KEY_LENGTH: 4096,
      MAX_VALUE_BYTES: 8 * 2 ** 20,
      MAX_RAW_BYTES: 256 * 2 ** 20,
      GZIP_THRESHOLD_BYTES: 0,
      REQUEST_DEADLINE_MS: 60_000,
      SHARD_QUEUE_LIMIT: 1,
      AUTH_TOKEN: 's3cret',
      AUTH_TOKEN_FILE: '/run/token',
      AUTH_READ_TOKEN: 'r3ad',
      AUTH_READ_TOKEN_FILE: '/run/read',
      CORS_ORIGIN: '*',
      SNAPSHOT_FILE: '/var/cache/snapshot',
      SNAPSHOT_INTERVAL: 300,
      TLS_CERT_FILE: 'cert.pem',
      TLS_KEY_FILE: 'key.pem',
      RATE_LIMIT: 1000,
      SHUTDOWN_DELAY_MS: 60_000,
      TRUST_PROXY: 'loopback, 10.0.0.0/8',
      TIER_URL: 'rediss://user:pass@a:1,b',
      TIER_UNAVAILABLE: 'miss',
      LOG_LEVEL: 'silent',
    });
  });

  test('a variable of nothing but blanks is a fault: it must not leave a server without its token', () => {
    expect(readSettings({ AUTH_TOKEN: '  ' }).faults).toHaveLength(1);
    expect(readSettings({ PORT: ' ' }).faults).toHaveLength(1);
  });

  test('an empty variable counts as absent, and blanks around a value do not count', () => {
    expect(readSettings({ PORT: '' }).settings!.PORT).toBe(7171);
    expect(readSettings({ PORT: ' 80 ' }).settings!.PORT).toBe(80);
  });

  test('leaves alone what is not a setting', () => {
    expect(readSettings({ PATH: '/bin', port: 'x' }).faults).toBeUndefined();
  });

  for (const [name, ...values] of FAULTS) {
    test.each(values)(
      `${name}=%s is one fault that names the setting, the value and what is allowed`,
      (value) => {
        const { faults } = readSettings({ SHARDS: '1', [name]: value });
        expect(faults).toHaveLength(1);
        expect(faults![0]).toMatch(new RegExp(`^${name}: "${value.replaceAll('.', '\\.')}" .*allowed: .+`));
        expect(faults![0]).not.toContain('\n');
      },
    );
  }

  test('tells of every fault at once', () => {
    const { faults } = readSettings(Object.fromEntries(FAULTS.map(([name, value]) => [name, value])));
    expect(faults!.map((fault) => fault.split(':', 1)[0])).toStrictEqual(FAULTS.map(([name]) => name));
  });

  test('a capacity must leave one entry for each shard', () => {
    expect(readSettings({ SHARDS: '4', CAPACITY: '3' }).faults).toStrictEqual([
      expect.stringMatching(/^CAPACITY: "3" is not allowed; allowed: .*SHARDS/),
    ]);
    expect(readSettings({ SHARDS: '4', CAPACITY: '4' }).faults).toBeUndefined();
  });
});

describe('settingsHelp', () => {
  test('has one line per setting, with name, default, meaning and what is allowed', () => {
    const lines = settingsHelp().split('\n');
    expect(lines.map((line) => line.split(' ', 1)[0])).toStrictEqual(NAMES);
    for (const line of lines) expect(line).toMatch(/^[A-Z_]+ +\S+ +.+\(allowed: .+\)$/);
  });

  test('shows defaults that are themselves allowed', () => {
    for (const line of settingsHelp().split('\n')) {
      const [name, fallback] = line.split(/ +/, 2);
      if (fallback !== '(none)') expect(readSettings({ [name]: fallback }).faults).toBeUndefined();
    }
  });
});

describe('settingsInForce', () => {
  const MACHINE = { limitBytes: 8 * 2 ** 30, source: 'machine' };

  function inForce(env: Readonly<Record<string, string>>, memoryLimit = MACHINE): string[] {
    return settingsInForce(readSettings(env).settings!, env, memoryLimit).split('\n');
  }

  test('has one line per setting, with its value and where that comes from', () => {
    const lines = inForce({ SHARDS: '3', MAX_VALUE_BYTES: '64Ki', PORT: '' });
    expect(lines.map((line) => line.split('=', 1)[0])).toStrictEqual(NAMES);
    expect(lines).toContain('SHARDS=3  # environment');
    expect(lines).toContain('MAX_VALUE_BYTES=65536  # environment');
    expect(lines).toContain('PORT=7171  # default');
    expect(lines).toContain('RATE_LIMIT=0  # default');
  });

  test('says of the memory limit what it comes to, and whose it is', () => {
    const MIB = 2 ** 20;
    expect(inForce({})).toContain(`MEMORY_LIMIT=${MACHINE.limitBytes}  # default; machine`);
    const set = { limitBytes: 512 * MIB, source: 'MEMORY_LIMIT' };
    expect(inForce({ MEMORY_LIMIT: '512mb' }, set)).toContain('MEMORY_LIMIT=536870912  # environment');
    const tighter = { limitBytes: 256 * MIB, source: 'cgroup v2' };
    expect(inForce({ MEMORY_LIMIT: '512mb' }, tighter)).toContain(
      'MEMORY_LIMIT=268435456  # environment; cgroup v2',
    );
  });

  test('shows no secret', () => {
    const lines = inForce({ AUTH_TOKEN: 's3cret', AUTH_TOKEN_FILE: '/run/token' });
    expect(lines).toContain('AUTH_TOKEN=(secret)  # environment');
    expect(lines).toContain('AUTH_TOKEN_FILE=/run/token  # environment');
    expect(lines.join('\n')).not.toContain('s3cret');
    expect(inForce({})).toContain('AUTH_TOKEN=  # default');
  });
});

describe('secrets', () => {
  test('are shown neither when they are right nor when they are wrong', () => {
    const { settings } = readSettings({ AUTH_TOKEN: 's3cret' });
    expect(publicSettings(settings!)).toMatchObject({ AUTH_TOKEN: '(secret)', PORT: 7171 });
    expect(readSettings({ AUTH_TOKEN: 's3 cret' }).faults!.join()).not.toContain('cret"');
  });
});
