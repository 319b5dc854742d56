import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { settingsHelp } from '../../src/config/settings.ts';
import { readCommandLine } from '../../src/process/command-line.ts';
import { ChildServer } from '../support/child-server.ts';
import { makeFolder } from '../support/folder.ts';

interface Ran {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const child = new ChildServer({ args, env });
  const { code } = await child.exited;
  return { code, output: child.output, errors: child.errors };
}

describe('readCommandLine', () => {
  test('knows its flags', () => {
    expect(readCommandLine([])).toStrictEqual({ flag: undefined });
    for (const flag of ['--help', '--version', '--check-config']) {
      expect(readCommandLine([flag])).toStrictEqual({ flag });
    }
    expect(readCommandLine(['--version', '--help'])).toStrictEqual({ flag: '--help' });
  });

  test('has one line for each that it does not know, which names those that it knows', () => {
    expect(readCommandLine(['--helpp', '--help', 'start', '-p', ''])).toStrictEqual({
      faults: ['--helpp', 'start', '-p', ''].map(
        (arg) =>
          `${JSON.stringify(arg)} is not allowed; allowed: --help, --version, --check-config; ` +
          'settings are environment variables',
      ),
    });
  });

  test.each(['--port=80', '--port', 'PORT=80', '-PORT'])('%s is meant as a setting', (arg) => {
    expect(readCommandLine([arg])).toStrictEqual({
      faults: [expect.stringMatching(/; set PORT in the environment$/)],
    });
  });

  test('what every object has is no flag', () => {
    expect(readCommandLine(['constructor', '__proto__'])).toMatchObject({ faults: { length: 2 } });
  });
});

describe('--help', () => {
  test('prints every setting and every flag, and ends', async () => {
    const { code, output, errors } = await run(['--help'], { PORT: 'not even read' });
    expect([code, errors]).toStrictEqual([0, '']);
    expect(output).toContain(settingsHelp());
    for (const flag of ['--help', '--version', '--check-config']) {
      expect(output).toMatch(new RegExp(`^${flag} +\\S`, 'm'));
    }
  });
});

describe('--version', () => {
  test('prints the version alone', async () => {
    expect(await run(['--version'])).toStrictEqual({
      code: 0,
      output: `${packageJson.version}\n`,
      errors: '',
    });
  });
});

describe('an unknown flag', () => {
  test('is named with those that are known, one line each, exit code 78', async () => {
    const { code, output, errors } = await run(['--check', '--port=80']);
    expect([code, output]).toStrictEqual([78, '']);
    const lines = errors.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line).toContain('--help, --version, --check-config');
  });
});

function tokenFile(text: string): string {
  const path = join(makeFolder(), 'token');
  writeFileSync(path, text);
  return path;
}

describe('--check-config', () => {
  test('prints what is in force and where it comes from, and needs no port', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const { code, output, errors } = await run(['--check-config'], {
      PORT: String(port),
      AUTH_TOKEN: 's3cret',
      MEMORY_LIMIT: '512Mi',
    });
    other.close();
    expect([code, errors]).toStrictEqual([0, '']);
    const lines = output.trimEnd().split('\n');
    expect(lines).toHaveLength(settingsHelp().split('\n').length);
    for (const line of lines) expect(line).toMatch(/^[A-Z_]+=.* {2}# (default|environment)(; [a-z0-9 .]+)?$/);
    expect(lines).toContain(`PORT=${port}  # environment`);
    expect(lines).toContain('MEMORY_LIMIT=536870912  # environment');
    expect(lines).toContain('AUTH_TOKEN=(secret)  # environment');
    expect(lines).toContain('LOG_LEVEL=info  # default');
    expect(output).not.toContain('s3cret');
  });

  test.each([
    [{ PORT: 'http', SHARDS: '0' }, [/^PORT: "http" /, /^SHARDS: "0" /]],
    [{ AUTH_TOKEN_FILE: '/nowhere/token' }, [/^AUTH_TOKEN_FILE: .*cannot be read/]],
    [
      { PORT: '-1', AUTH_TOKEN_FILE: '/nowhere/token' },
      [/^PORT: "-1" /, /^AUTH_TOKEN_FILE: .*cannot be read/],
    ],
    [{ AUTH_TOKEN_FILE: '/dev' }, [/^AUTH_TOKEN_FILE: .*it is a directory/]],
    [{ TLS_KEY_FILE: '/dev/null' }, [/^TLS_KEY_FILE: /, /^TLS_CERT_FILE: /]],
    [{ MEMORY_LIMIT: '64mb' }, [/^MEMORY_LIMIT: .* is too small: /]],
  ])('%j: exit code 78, one line for each fault', async (env, faults) => {
    const { code, output, errors } = await run(['--check-config'], env);
    expect([code, output]).toStrictEqual([78, '']);
    const lines = errors.trimEnd().split('\n');
    expect(lines).toHaveLength(faults.length);
    for (const [n, fault] of faults.entries()) expect(lines[n]).toMatch(fault);
  });

  test('passes with a warning where a start may succeed or fail by a few MiB', async () => {
    const env = { MEMORY_LIMIT: '140mb', SHARDS: '1' };
    const { code, output, errors } = await run(['--check-config'], env);
    expect(errors).toBe(
      'MEMORY_LIMIT: the memory limit of 140 MiB leaves little room for 1 shard(s): some starts may fail\n',
    );
    expect(code).toBe(0);
    expect(output).toContain('MEMORY_LIMIT=146800640  # environment\n');
  });

  test('finds a HOST that a start would not find', async () => {
    const { code, errors } = await run(['--check-config'], { HOST: 'nope.invalid' });
    expect(code).toBe(78);
    expect(errors).toMatch(/^HOST: "nope\.invalid" is not allowed /);
  });

  test('reads the files', async () => {
    expect(await run(['--check-config'], { AUTH_TOKEN_FILE: tokenFile('token\n') })).toMatchObject({
      code: 0,
      errors: '',
    });
    expect(await run(['--check-config'], { AUTH_TOKEN_FILE: tokenFile('two words') })).toMatchObject({
      code: 78,
      output: '',
    });
  });
});
