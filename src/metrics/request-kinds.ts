import type { RequestKind } from './request-times.ts';

/** What no route matches, whatever its method: labels stay few, whatever clients ask for. */
const UNMATCHED: RequestKind = { method: 'other', route: 'unmatched' };
const UNMATCHED_PLACE = 0;
const NO_SEGMENT = '';
const SLASH = 47;
const QUERY = 63;
/** No URL begins so. */
const NOWHERE = '\n';

/** Places of the kinds of a path's first segment: alone, and with more behind it. */
interface Places {
  alone: number;
  withMore: number;
}

/** The routes of one method. */
interface MethodRoutes {
  /** By first segment. */
  readonly bySegment: Map<string, Places>;
  /** The first segment of the last request, with its slash. Most requests have the same as the one before. */
  lastStart: string;
  last: Places;
}

/**
 * Finds the kind of a request in what Node has parsed of it: so those count, too, that are answered before or past Fastify.
 * Routes are told apart by method and first segment, which is all that a look at each request may cost.
 */
export class RequestKinds {
  readonly all: RequestKind[] = [UNMATCHED];
  private readonly byMethod = new Map<string, MethodRoutes>();

  /** @param pattern of a route, as Fastify takes it: `/cache/:key`. */
  add(method: string, pattern: string): void {
    const { bySegment } = this.routesOf(method);
    const segment = firstSegment(pattern);
    const places = bySegment.get(segment) ?? { alone: UNMATCHED_PLACE, withMore: UNMATCHED_PLACE };
    bySegment.set(segment, places);
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
    const routes = this.byMethod.get(method);
    if (routes === undefined) return UNMATCHED_PLACE;
    if (url.startsWith(routes.lastStart)) {
      const place = placeAfter(routes.last, url, routes.lastStart.length);
      if (place !== undefined) return place;
    }
    const path = url.charCodeAt(0) === SLASH ? url : withoutOrigin(url);
    const segment = firstSegment(path);
    const places = routes.bySegment.get(segment);
    if (places === undefined) return UNMATCHED_PLACE;
    routes.last = places;
    routes.lastStart = `/${segment}`;
    return placeAfter(places, path, segment.length + 1) ?? UNMATCHED_PLACE;
  }

  private routesOf(method: string): MethodRoutes {
    const known = this.byMethod.get(method);
    if (known) return known;
    const last = { alone: UNMATCHED_PLACE, withMore: UNMATCHED_PLACE };
    const routes = { bySegment: new Map<string, Places>(), lastStart: NOWHERE, last };
    this.byMethod.set(method, routes);
    return routes;
  }
}

/** @returns undefined if the first segment does not end there. */
function placeAfter({ alone, withMore }: Places, path: string, end: number): number | undefined {
  if (path.length === end) return alone;
  const code = path.charCodeAt(end);
  if (code === SLASH) return withMore;
  return code === QUERY ? alone : undefined;
}

/** What stands between the first slash and the next, or the query. */
function firstSegment(path: string): string {
  for (let i = 1; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code === SLASH || code === QUERY) return path.slice(1, i);
  }
  return path.length > 1 ? path.slice(1) : NO_SEGMENT;
}

/** A client may write the whole URL, as to a proxy: RFC 9112, section 3.2.2. */
function withoutOrigin(url: string): string {
  return url.replace(/^https?:\/\/[^/?]*/i, '') || '/';
}
