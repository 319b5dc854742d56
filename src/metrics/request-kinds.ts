import type { RequestKind } from './request-times.ts';

/** What no route matches, whatever its method: labels stay few, whatever clients ask for. */
const UNMATCHED: RequestKind = { method: 'other', route: 'unmatched' };
const UNMATCHED_PLACE = 0;
const NO_SEGMENT = '';
const SLASH = 47;

/** Places of the kinds of a path's first segment: alone, and with more behind it. */
interface Places {
  alone: number;
  withMore: number;
}

/**
 * Finds the kind of a request in what Node has parsed of it: so those count, too, that are answered before or past Fastify.
 * Routes are told apart by method and first segment, which is all that a look at each request may cost.
 */
export class RequestKinds {
  readonly all: RequestKind[] = [UNMATCHED];
  /** By method, then by first segment. */
  private readonly places = new Map<string, Map<string, Places>>();

  /** @param pattern of a route, as Fastify takes it: `/cache/:key`. */
  add(method: string, pattern: string): void {
    const segments = this.places.get(method) ?? new Map<string, Places>();
    this.places.set(method, segments);
    const segment = firstSegment(pattern);
    const places = segments.get(segment) ?? { alone: UNMATCHED_PLACE, withMore: UNMATCHED_PLACE };
    segments.set(segment, places);
    if (pattern.length === segment.length + 1) {
      if (places.alone === UNMATCHED_PLACE) places.alone = this.all.push({ method, route: pattern }) - 1;
      return;
    }
    const route = pattern.replaceAll(/:(\w+)/g, '{$1}');
    if (places.withMore === UNMATCHED_PLACE) places.withMore = this.all.push({ method, route }) - 1;
    // Several routes share what is looked at, and so a label.
    else if (this.all[places.withMore].route !== route) {
      this.all[places.withMore] = { method, route: `/${segment}/*` };
    }
  }

  /** @returns the place of the kind in `all`. */
  of(method: string, url: string): number {
    const path = url.charCodeAt(0) === SLASH ? url : withoutOrigin(url);
    const segment = firstSegment(path);
    const places = this.places.get(method)?.get(segment);
    if (places === undefined) return UNMATCHED_PLACE;
    return path.charCodeAt(segment.length + 1) === SLASH ? places.withMore : places.alone;
  }
}

/** What stands between the first slash and the next, or the query. */
function firstSegment(path: string): string {
  for (let i = 1; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code === SLASH || code === 63) return path.slice(1, i);
  }
  return path.length > 1 ? path.slice(1) : NO_SEGMENT;
}

/** A client may write the whole URL, as to a proxy: RFC 9112, section 3.2.2. */
function withoutOrigin(url: string): string {
  return url.replace(/^https?:\/\/[^/?]*/i, '') || '/';
}
