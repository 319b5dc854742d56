const SEPARATOR = '::';

/** Whatever is not printable ASCII, and the percent sign. By code points, so that a surrogate without its other half counts. */
const NOT_AS_IT_IS = /[^\x20-\x24\x26-\x7e]/gu;
const ESCAPED = /(?:%[0-9A-F]{2})+|%u[0-9A-F]{4}/g;

/**
 * How the keys of a namespace are named in the cache, whose keys are printable ASCII: `namespace::key`, both
 * percent-encoded. A colon in the namespace is encoded, too, so that no namespace begins with another one and the separator.
 */
export class KeyNames {
  /** What the names of all keys begin with. */
  readonly prefix: string;

  constructor(namespace: string) {
    this.prefix = encode(namespace).replaceAll(':', '%3A') + SEPARATOR;
  }

  nameOf(key: string): string {
    return this.prefix + encode(key);
  }

  /** @param name that begins with the prefix. */
  keyOf(name: string): string {
    return decode(name.slice(this.prefix.length));
  }
}

function encode(text: string): string {
  return text.replaceAll(NOT_AS_IT_IS, (character) =>
    isLoneSurrogate(character)
      ? `%u${character.charCodeAt(0).toString(16).toUpperCase()}`
      : encodeURIComponent(character),
  );
}

function decode(text: string): string {
  return text.replaceAll(ESCAPED, (escaped) =>
    escaped.startsWith('%u')
      ? String.fromCharCode(Number.parseInt(escaped.slice(2), 16))
      : decodeURIComponent(escaped),
  );
}

function isLoneSurrogate(character: string): boolean {
  return character.length === 1 && character >= '\ud800' && character <= '\udfff';
}
