const LANGUAGE = 'en';
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
const NONE = '–';

const whole = new Intl.NumberFormat(LANGUAGE, { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat(LANGUAGE, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});

/** @param {number | null | undefined} bytes */
export function formatBytes(bytes) {
  if (bytes === null || bytes === undefined) return NONE;
  let scaled = bytes;
  let unit = 0;
  while (scaled >= 1024 && unit < UNITS.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${Number(scaled.toFixed(scaled < 100 ? 1 : 0))} ${UNITS[unit]}`;
}

/** @param {number | null | undefined} count */
export function formatCount(count) {
  return count === null || count === undefined ? NONE : whole.format(count);
}

/** @param {number | null | undefined} share */
export function formatShare(share) {
  if (share === null || share === undefined) return NONE;
  const percent = share * 100;
  // Never "100 %" of what is not all.
  if (percent > 99.9 && percent < 100) return '99.9 %';
  return `${Number(percent.toFixed(percent < 10 || percent > 99 ? 1 : 0))} %`;
}

/** @param {number | null | undefined} ms */
export function formatMs(ms) {
  if (ms === null || ms === undefined) return NONE;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2)} ms`;
}

/** @param {number} seconds */
export function formatDuration(seconds) {
  const rounded = Math.floor(seconds);
  const parts = [
    [Math.floor(rounded / 86_400), 'd'],
    [Math.floor(rounded / 3600) % 24, 'h'],
    [Math.floor(rounded / 60) % 60, 'min'],
    [rounded % 60, 's'],
  ];
  const first = parts.findIndex(([number]) => number !== 0);
  if (first < 0) return '0 s';
  return parts
    .slice(first, first + 2)
    .filter(([number]) => number !== 0)
    .map(([number, unit]) => `${number} ${unit}`)
    .join(' ');
}

/** @param {number} ms since the epoch */
export function formatTime(ms) {
  return clock.format(ms);
}
