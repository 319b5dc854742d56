import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { RequestKinds } from '../../metrics/request-kinds.ts';
import { sendFailure } from '../failures.ts';
import { METHODS } from '../fast/node-http.ts';

type MethodsOf = ReadonlyMap<string, ReadonlySet<string>>;

/** Collects the methods of each path that is registered from now on. @param kinds gets each of them, too. */
export function collectRoutes(app: FastifyInstance, kinds: RequestKinds): MethodsOf {
  const methodsOf = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const methods = methodsOf.get(url) ?? new Set();
    for (const one of [method].flat()) {
      methods.add(one);
      kinds.add(one, url);
    }
    methodsOf.set(url, methods);
  });
  return methodsOf;
}

/** @returns a handler that answers 405 with `Allow` if the path has other methods, else 404. */
export function answerToUnknown(
  app: FastifyInstance,
  methodsOf: MethodsOf,
): (request: FastifyRequest, reply: FastifyReply) => FastifyReply {
  for (const method of METHODS) if (!app.supportedMethods.includes(method)) app.addHttpMethod(method);
  return (request, reply) => {
    const path = pathOf(request.url);
    for (const [url, methods] of methodsOf) {
      if (methods.has(request.method) || !patternOf(url).test(path)) continue;
      const allowed = [...methods].toSorted().join(', ');
      void reply.header('allow', allowed);
      const message = `${request.method} is not allowed here; allowed: ${allowed}.`;
      return sendFailure(reply, { code: 'CACHE_ERR_METHOD_NOT_ALLOWED', message });
    }
    return sendFailure(reply, { code: 'CACHE_ERR_ROUTE_NOT_FOUND', message: 'There is no such path.' });
  };
}

/** A client may write the whole URL, as to a proxy: RFC 9112, section 3.2.2. */
function pathOf(url: string): string {
  return url.replace(/^https?:\/\/[^/?]*/i, '').split('?', 1)[0] || '/';
}

function patternOf(url: string): RegExp {
  const pattern = url
    .replaceAll('.', '\\.')
    .replaceAll('*', '.*')
    .replaceAll(/:[^/]+/g, '[^/]*');
  return new RegExp(`^${pattern}$`);
}
