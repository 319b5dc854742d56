import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { type Settings, TOKEN_RULE } from './settings.ts';

/** The token and the certificate, from the settings or from the files that they name. */
export interface AccessFiles {
  readonly authToken: string | undefined;
  /** A token that may only read. */
  readonly readToken: string | undefined;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
}

/** No real token or certificate chain is longer. */
const MAX_FILE_BYTES = 2 ** 20;

/** Only regular files are read: a device may have no end, and a pipe may have no writer. */
function readRegularFile(path: string): string {
  const stats = statSync(path);
  if (stats.isDirectory()) throw new Error('it is a directory');
  if (!stats.isFile()) throw new Error('it is not a regular file');
  if (stats.size > MAX_FILE_BYTES) throw new Error('it is larger than 1 MiB');
  return readFileSync(path, 'utf8');
}

/** The settings that `readAccessFiles` goes by. */
export const ACCESS_SETTINGS = [
  'AUTH_TOKEN',
  'AUTH_TOKEN_FILE',
  'AUTH_READ_TOKEN',
  'AUTH_READ_TOKEN_FILE',
  'TLS_CERT_FILE',
  'TLS_KEY_FILE',
] as const;

const FILE_SETTINGS = ['AUTH_TOKEN_FILE', 'AUTH_READ_TOKEN_FILE', 'TLS_CERT_FILE', 'TLS_KEY_FILE'] as const;
type FileSetting = (typeof FILE_SETTINGS)[number];

/** Whether settings name files that may change while the server runs. */
export function hasAccessFiles(settings: Settings): boolean {
  return FILE_SETTINGS.some((name) => settings[name] !== '');
}

/**
 * Reads the token and the certificate.
 * @returns them, or one line per fault, in the form of the settings' own.
 */
export function readAccessFiles(
  settings: Settings,
  readText: (path: string) => string = readRegularFile,
): AccessFiles | { readonly faults: readonly string[] } {
  const faults: string[] = [];
  const read = (name: FileSetting): string | undefined => {
    const path = settings[name];
    if (path === '') return undefined;
    try {
      return readText(path);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      faults.push(`${name}: "${path}" is not allowed; it cannot be read: ${why}`);
      return undefined;
    }
  };
  const token = (name: 'AUTH_TOKEN' | 'AUTH_READ_TOKEN'): string | undefined => {
    const fromFile = tokenFromFile(settings, name, read(`${name}_FILE`)?.trim(), faults);
    if (settings[name] !== '' && settings[`${name}_FILE`] !== '') {
      faults.push(`${name}_FILE: is not allowed beside ${name}; allowed: one of the two`);
    }
    return settings[name] || fromFile;
  };
  const authToken = token('AUTH_TOKEN');
  const readToken = token('AUTH_READ_TOKEN');
  const cert = read('TLS_CERT_FILE');
  const key = read('TLS_KEY_FILE');
  if (readToken !== undefined && (authToken === undefined || authToken === readToken)) {
    faults.push('AUTH_READ_TOKEN: is not allowed; allowed: beside AUTH_TOKEN, and another one');
  }
  if ((settings.TLS_CERT_FILE === '') !== (settings.TLS_KEY_FILE === '')) {
    const missing = settings.TLS_CERT_FILE === '' ? 'TLS_CERT_FILE' : 'TLS_KEY_FILE';
    faults.push(`${missing}: "" is not allowed; allowed: both TLS files, or none`);
  }
  if (cert !== undefined && key !== undefined) {
    const why = faultOfPair(cert, key);
    if (why !== undefined) {
      faults.push(
        `TLS_CERT_FILE, TLS_KEY_FILE: "${settings.TLS_CERT_FILE}" and "${settings.TLS_KEY_FILE}" are not ` +
          `allowed; allowed: a PEM certificate and its private key: ${why}`,
      );
    }
  }
  if (faults.length > 0) return { faults };
  return {
    authToken,
    readToken,
    tls: cert !== undefined && key !== undefined ? { cert, key } : undefined,
  };
}

/** @param text of the file, if one is named. */
function tokenFromFile(
  settings: Settings,
  name: 'AUTH_TOKEN' | 'AUTH_READ_TOKEN',
  text: string | undefined,
  faults: string[],
): string | undefined {
  const path = settings[`${name}_FILE`];
  if (text === '') faults.push(`${name}_FILE: "${path}" is empty`);
  if (text !== undefined && !TOKEN_RULE.pattern.test(text)) {
    // No client could ever send such a token.
    faults.push(`${name}_FILE: what "${path}" holds is not allowed; allowed: ${TOKEN_RULE.allowed}`);
  }
  return text;
}

/** Why the two do not work together. Node accepts an empty key, but then fails every handshake. */
function faultOfPair(cert: string, key: string): string | undefined {
  if (cert.trim() === '' || key.trim() === '') return 'one of the two is empty';
  try {
    createSecureContext({ cert, key });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
