const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 2 ** 10,
  mb: 2 ** 20,
  gb: 2 ** 30,
  tb: 2 ** 40,
};

/**
 * Reads a byte size: a whole or decimal number with an optional unit (`b`, `kb`, `mb`, `gb`, `tb`; `k` or
 * `kib` mean the same; powers of 1024; any case).
 * @returns whole bytes, or undefined when `text` is not a byte size.
 */
export function parseByteSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b)?$/i.exec(text.trim());
  if (!match) return undefined;
  const prefix = match[2].toLowerCase();
  const unitBytes = UNIT_BYTES[prefix === '' ? '' : `${prefix}b`];
  const bytes = Math.floor(Number(match[1]) * unitBytes);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** For a person to read: `1536` is `1.5 KiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let scaled = bytes;
  let unit = 0;
  while (Math.abs(scaled) >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${Number.isInteger(scaled) ? scaled : scaled.toFixed(1)} ${units[unit]}`;
}
