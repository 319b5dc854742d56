const UNITS = ['', 'k', 'm', 'g', 't'];
const WITH_UNIT = /^(\d+(?:\.\d+)?)\s*(?:([kmgt])i?b?|b)?$/i;
const WITH_EXPONENT = /^\d+(?:\.\d+)?e\d{1,2}$/i;

/**
 * Reads a byte size as Docker, systemd and Kubernetes write it: a whole or decimal number with an optional unit (`Ki`,
 * `Mi`, `Gi`, `Ti`; `k`, `kb` and `KiB` mean the same; any case), or one with an exponent (`129e6`).
 * All units are powers of 1024, `m` as well: to Kubernetes alone `M` is a million and `m` a thousandth.
 * @returns whole bytes, or undefined when `text` is not a byte size.
 */
export function parseByteSize(text: string): number | undefined {
  const trimmed = text.trim();
  const [, number, unit = ''] = WITH_UNIT.exec(trimmed) ?? [];
  if (number === undefined && !WITH_EXPONENT.test(trimmed)) return undefined;
  const bytes = Math.floor(Number(number ?? trimmed) * 1024 ** UNITS.indexOf(unit.toLowerCase()));
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
