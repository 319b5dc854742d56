/** Shorter texts are parsed as they are: what they can build is small. */
const MIN_CHECKED = 4096;
/** No valid body has more than three. */
const MAX_MEMBERS = 64;

/**
 * False for JSON text that has a value inside a value, or very many members. A parser would need many times the memory of
 * such a text before a schema could refuse it. Only the characters outside of strings are looked at. Whether the text is
 * JSON at all is left to the parser. One pass, nothing is built.
 */
export function isFlatJson(text: string): boolean {
  if (text.length < MIN_CHECKED) return true;
  let at = 0;
  let braces = 0;
  let members = 0;
  while (at < text.length) {
    const quote = text.indexOf('"', at);
    const end = quote < 0 ? text.length : quote;
    for (; at < end; at++) {
      const character = text.charCodeAt(at);
      if (character === OPEN_BRACKET) return false;
      if (character === OPEN_BRACE && ++braces > 1) return false;
      if (character === COMMA && ++members > MAX_MEMBERS) return false;
    }
    if (quote < 0) return true;
    at = endOfString(text, quote);
  }
  return true;
}

const OPEN_BRACKET = 0x5b;
const OPEN_BRACE = 0x7b;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;

/** Where the string that begins with the quote at `start` is over; the text's end if it never is. */
function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let escapes = 0;
    while (text.charCodeAt(quote - 1 - escapes) === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return quote + 1;
  }
  return text.length;
}
