/** Origins that browsers may ask from: `*` for any. */
export type OriginList = '*' | ReadonlySet<string>;

/** @returns null for what is no list of origins; an empty text is an empty list. */
export function parseOriginList(text: string): OriginList | null {
  if (text.trim() === '*') return '*';
  const origins = text.split(',').map((one) => one.trim());
  if (text.trim() === '') return new Set();
  return origins.every(isOrigin) ? new Set(origins) : null;
}

/** A scheme, a host and perhaps a port, as a browser writes them. */
function isOrigin(text: string): boolean {
  return /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text;
}
