import { z } from 'zod';
import { parseOriginList } from './origin-list.ts';
import { MAX_THREADS, type Machine, defaultThreads, thisMachine } from './threads.ts';
import { parseProxyList } from './proxy-list.ts';
import { byteText, numberText, optionalBytes, wholeText } from './number-schemas.ts';
import { parseTierUrl } from './tier-url.ts';

/** Every setting: where its value comes from, what is allowed, and what it means. The table is the source. */
interface Setting<Value> {
  readonly fallback: string;
  /** The default in words, if it depends on the machine. */
  readonly byDefault?: string;
  readonly allowed: string;
  readonly meaning: string;
  readonly schema: z.ZodType<Value, string>;
  /** Its value is never shown, not even a wrong one. */
  readonly isSecret?: true;
}

const TIER_ANSWERS = ['503', 'miss'] as const;
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** What a token may be made of, wherever it comes from. */
export const TOKEN_RULE = { pattern: /^[\x21-\x7e]*$/, allowed: 'printable ASCII without spaces' };

/** Without a memory limit: a server that starts derives its own defaults from its limit. */
const THIS_MACHINE = thisMachine();
const THREADS = defaultThreads({ SHARDS: undefined, FRONTS: undefined, CAPACITY: 0 }, THIS_MACHINE);

const SETTINGS = {
  HOST: {
    fallback: '0.0.0.0',
    allowed: 'an address or host name of this machine',
    meaning: 'address to listen on; for a name with several addresses, the first one, IPv4 before IPv6',
    // An IPv6 address may stand in brackets, as in URLs.
    schema: z.string().transform((text) => /^\[([^\]]*:[^\]]*)\]$/.exec(text)?.[1] ?? text),
  },
  PORT: {
    fallback: '7171',
    allowed: '0 to 65535',
    meaning: 'port to listen on; 0 for any free one',
    schema: wholeText(0, 65535),
  },
  SHARDS: {
    fallback: String(THREADS.SHARDS),
    byDefault: 'processors ÷ 5',
    allowed: '1 to 64',
    meaning:
      'threads that own the data; by default processors ÷ 5, rounded up, at most one per 1,000 of CAPACITY',
    schema: wholeText(1, MAX_THREADS),
  },
  FRONTS: {
    fallback: String(THREADS.FRONTS),
    byDefault: 'processors − SHARDS',
    allowed: '1 to 64',
    meaning: 'threads that speak HTTP; by default processors − SHARDS, at most one per 512mb of memory',
    schema: wholeText(1, MAX_THREADS),
  },
  MEMORY_LIMIT: {
    fallback: '',
    allowed: '1mb or more: bytes, or a number with kb, mb, gb, tb (Ki, Mi, Gi, Ti are the same)',
    meaning: "memory that the process may use; by default the container's limit, else the machine's memory",
    schema: optionalBytes,
  },
  MEMORY_THRESHOLD: {
    fallback: '0.7',
    allowed: 'above 0, at most 0.95',
    meaning: 'share of the limit above which shards are asked to shed',
    schema: numberText((value) => value > 0 && value <= 0.95),
  },
  SHED_FRACTION: {
    fallback: '0.1',
    allowed: 'above 0, at most 1',
    meaning: 'share of the held bytes that one shed order evicts',
    schema: numberText((value) => value > 0 && value <= 1),
  },
  SUPERVISOR_INTERVAL_MS: {
    fallback: '250',
    allowed: '10 to 60000',
    meaning: 'time between two checks of memory',
    schema: wholeText(10, 60_000),
  },
  CAPACITY: {
    fallback: '0',
    allowed: '0, or a whole number from SHARDS to 2147483647',
    meaning:
      'most entries over all shards; one more evicts the least recently used of its shard; 0 for no limit',
    schema: wholeText(0, 2 ** 31 - 1),
  },
  MAX_KEY_LENGTH: {
    fallback: '256',
    allowed: '1 to 4096',
    meaning: 'longest key, in characters',
    schema: wholeText(1, 4096),
  },
  MAX_VALUE_BYTES: {
    fallback: '1mb',
    allowed: '1 to 8mb',
    meaning: 'longest value of a JSON entry',
    // As JSON, a value may be six times as long, and several of them may be in flight at once.
    schema: byteText(1, 8 * 2 ** 20),
  },
  MAX_RAW_BYTES: {
    fallback: '64mb',
    allowed: '1 to 256mb',
    meaning: 'longest value of a raw entry; less where a shard could not hold it',
    schema: byteText(1, 256 * 2 ** 20),
  },
  GZIP_THRESHOLD_BYTES: {
    fallback: '1024',
    allowed: '0 to 64mb',
    meaning: 'longer responses are compressed for clients that accept it; 0 turns compression off',
    schema: byteText(0, 64 * 2 ** 20),
  },
  REQUEST_DEADLINE_MS: {
    fallback: '1000',
    allowed: '10 to 60000',
    meaning: 'how long a request waits for its shard before 503',
    schema: wholeText(10, 60_000),
  },
  SHARD_QUEUE_LIMIT: {
    fallback: '4096',
    allowed: '1 to 65536',
    meaning: 'requests in flight to one shard before 503; the last quarter is for reads',
    schema: wholeText(1, 65_536),
  },
  AUTH_TOKEN: {
    fallback: '',
    allowed: TOKEN_RULE.allowed,
    meaning: 'when set, all paths but probes and pages require "Authorization: Bearer <token>"',
    schema: z.string().regex(TOKEN_RULE.pattern),
    isSecret: true,
  },
  AUTH_TOKEN_FILE: {
    fallback: '',
    allowed: 'a readable regular file',
    meaning: 'file that contains the token, instead of AUTH_TOKEN',
    schema: z.string(),
  },
  AUTH_READ_TOKEN: {
    fallback: '',
    allowed: `${TOKEN_RULE.allowed}, beside another token`,
    meaning: 'a second token, which may only read: writes are answered 403',
    schema: z.string().regex(TOKEN_RULE.pattern),
    isSecret: true,
  },
  AUTH_READ_TOKEN_FILE: {
    fallback: '',
    allowed: 'a readable regular file',
    meaning: 'file that holds the second token instead',
    schema: z.string(),
  },
  TLS_CERT_FILE: {
    fallback: '',
    allowed: 'a readable PEM file, together with TLS_KEY_FILE',
    meaning: 'certificate chain; when set, the server speaks HTTPS',
    schema: z.string(),
  },
  TLS_KEY_FILE: {
    fallback: '',
    allowed: 'a readable PEM file, together with TLS_CERT_FILE',
    meaning: "the certificate's private key",
    schema: z.string(),
  },
  RATE_LIMIT: {
    fallback: '0',
    allowed: '0 to 1000000000',
    meaning: 'requests per second from one client address before 429; 0 for any number',
    schema: wholeText(0, 1e9),
  },
  SHUTDOWN_DELAY_MS: {
    fallback: '0',
    allowed: '0 to 60000',
    meaning: 'after SIGTERM: how long connections are still accepted and served while /ready says 503',
    schema: wholeText(0, 60_000),
  },
  TRUST_PROXY: {
    fallback: '',
    allowed: 'addresses and CIDR ranges, separated by commas; loopback, linklocal, uniquelocal',
    meaning: 'proxies whose X-Forwarded-For, for RATE_LIMIT, and X-Forwarded-Prefix count',
    schema: z.string().refine((text) => parseProxyList(text) !== null),
  },
  CORS_ORIGIN: {
    fallback: '',
    allowed: '*, or origins such as https://app.example, separated by commas',
    meaning: 'origins whose scripts may use the cache from a browser',
    schema: z.string().refine((text) => parseOriginList(text) !== null),
  },
  SNAPSHOT_FILE: {
    fallback: '',
    allowed: 'a file in a folder that may be written to',
    meaning: 'where the content is kept over a restart: written when the server stops, read when it starts',
    schema: z.string(),
  },
  SNAPSHOT_INTERVAL: {
    fallback: '0',
    allowed: '0 to 604800',
    meaning: 'seconds between two snapshots while the server runs; 0 for none',
    schema: wholeText(0, 604_800),
  },
  TIER_URL: {
    fallback: '',
    allowed:
      'redis://host:port or rediss://host:port, for a cluster with several hosts, separated by commas; ' +
      'special characters of user and password percent-encoded',
    meaning: 'Redis or Valkey server or cluster behind this server: see docs/several-machines.md',
    schema: z.string().refine((text) => parseTierUrl(text) !== null),
    isSecret: true,
  },
  TIER_UNAVAILABLE: {
    fallback: '503',
    allowed: TIER_ANSWERS.join(', '),
    meaning: 'answer to a read that needs the engine of TIER_URL while that is gone: 503, or a miss',
    schema: z.enum(TIER_ANSWERS),
  },
  LOG_LEVEL: {
    fallback: 'info',
    allowed: LOG_LEVELS.join(', '),
    meaning: 'structured logs to standard output; no line per request',
    schema: z.enum(LOG_LEVELS),
  },
} as const satisfies Record<string, Setting<unknown>>;

type Name = keyof typeof SETTINGS;
export type Settings = { readonly [N in Name]: z.output<(typeof SETTINGS)[N]['schema']> };
export type Environment = Readonly<Record<string, string | undefined>>;
export type ReadSettings =
  | { readonly settings: Settings; readonly faults?: never }
  | { readonly faults: readonly string[]; readonly settings?: never };

const NAMES = Object.keys(SETTINGS) as Name[];

/**
 * Reads and validates all settings. An empty variable counts as absent.
 * @returns the settings, or one line per fault: name, value, what is allowed.
 */
export function readSettings(env: Environment, machine: Machine = THIS_MACHINE): ReadSettings {
  const values: Record<string, unknown> = {};
  const faults: string[] = [];
  for (const name of NAMES) {
    const { schema, fallback, allowed } = SETTINGS[name];
    const given = env[name] || fallback;
    const text = given.trim();
    const parsed = schema.safeParse(text);
    // A value of blanks only is a mistake. It must not mean "no token".
    const isBlank = text === '' && given !== '';
    if (parsed.success && !isBlank) values[name] = parsed.data;
    else faults.push(`${name}: ${shown(name, text)} is not allowed; allowed: ${allowed}`);
  }
  const read = values as Settings;
  const settings = faults.length === 0 ? { ...read, ...threadsOf(read, env, machine) } : read;
  if (faults.length === 0 && settings.CAPACITY > 0 && settings.CAPACITY < settings.SHARDS) {
    faults.push(`CAPACITY: "${settings.CAPACITY}" is not allowed; allowed: ${SETTINGS.CAPACITY.allowed}`);
  }
  return faults.length > 0 ? { faults } : { settings };
}

function threadsOf(
  { SHARDS, FRONTS, CAPACITY, MEMORY_LIMIT }: Settings,
  env: Environment,
  machine: Machine,
): Pick<Settings, 'SHARDS' | 'FRONTS'> {
  const memoryBytes = Math.min(machine.memoryBytes, MEMORY_LIMIT ?? Infinity);
  return defaultThreads(
    { SHARDS: env['SHARDS'] ? SHARDS : undefined, FRONTS: env['FRONTS'] ? FRONTS : undefined, CAPACITY },
    { ...machine, memoryBytes },
  );
}

const SECRET = '(secret)';
const BY_NAME: Readonly<Record<Name, Setting<unknown>>> = SETTINGS;

function shown(name: Name, text: string): string {
  return BY_NAME[name].isSecret ? SECRET : JSON.stringify(text);
}

/** The settings without their secrets, as `/stats` shows them. */
export function publicSettings(settings: Settings): Settings {
  const entries = Object.entries(settings).map(([name, value]) => {
    const isHidden = BY_NAME[name as Name].isSecret && value !== '';
    return [name, isHidden ? SECRET : value] as const;
  });
  return Object.fromEntries(entries) as Settings;
}

/**
 * One line per setting, with its value in force and where that comes from: `PORT=7171  # default`.
 * @param memoryLimit the limit that applies on this machine.
 */
export function settingsInForce(
  settings: Settings,
  env: Environment,
  memoryLimit: { readonly limitBytes: number; readonly source: string },
): string {
  const values = { ...publicSettings(settings), MEMORY_LIMIT: memoryLimit.limitBytes };
  const lines = NAMES.map((name) => {
    const isGiven = env[name] !== undefined && env[name] !== '';
    const isTightened = name === 'MEMORY_LIMIT' && memoryLimit.source !== 'MEMORY_LIMIT';
    const source = isGiven ? 'environment' : 'default';
    return `${name}=${values[name]}  # ${isTightened ? `${source}; ${memoryLimit.source}` : source}`;
  });
  return lines.join('\n');
}

export function isSetting(name: string): boolean {
  return Object.hasOwn(SETTINGS, name);
}

/** One row of the table of settings, the same on every machine. */
export interface SettingRow {
  readonly name: string;
  readonly byDefault: string;
  /** The default is words, no value. */
  readonly isText: boolean;
  readonly meaning: string;
}

/** The table that README shows. */
export function settingsTable(): SettingRow[] {
  return NAMES.map((name) => {
    const { fallback, byDefault, meaning }: Setting<unknown> = SETTINGS[name];
    const isText = byDefault !== undefined || fallback === '';
    return { name, byDefault: byDefault ?? (fallback || '(none)'), isText, meaning };
  });
}

/** The table that `--help` prints. */
export function settingsHelp(): string {
  const rows = NAMES.map((name) => {
    const { fallback, allowed, meaning } = SETTINGS[name];
    return [name, fallback || '(none)', `${meaning} (allowed: ${allowed})`];
  });
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map(([name, fallback, text]) => `${name.padEnd(widths[0])}  ${fallback.padEnd(widths[1])}  ${text}`)
    .join('\n');
}
