import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Socket } from 'node:net';

declare module 'fastify' {
  interface FastifyRequest {
    /** Kept for a request with a body; absent once it has been sent on. */
    place: Place | undefined;
  }
}

/** One request's place among those of its connection. */
interface Place {
  /** What sends the request on; absent while its body is being read. */
  run: (() => void) | undefined;
}

const PLACES: unique symbol = Symbol('places');

interface OrderedSocket extends Socket {
  /** Of requests that have not been sent on, oldest first. */
  [PLACES]?: Place[];
}

/**
 * Keeps the requests of one connection in their order. A client may write a GET right behind a PUT, without
 * waiting for the answer (pipelining): the GET is complete at once, the PUT only when its body has been read,
 * but the GET must see what was put. RFC 9112, section 9.3.2.
 */
export function orderRequests(app: FastifyInstance): void {
  app.decorateRequest('place', undefined);
}

/** To be called when the head of a request with a body has been read. */
export function keepPlace(request: FastifyRequest): void {
  const socket: OrderedSocket = request.raw.socket;
  request.place = { run: undefined };
  const places = (socket[PLACES] ??= []);
  places.push(request.place);
}

/** Sends a request on as soon as those before it on its connection have been. */
export function inOrder(request: FastifyRequest, run: () => void): void {
  const socket: OrderedSocket = request.raw.socket;
  const places = socket[PLACES];
  if (places === undefined || places.length === 0) {
    run();
    return;
  }
  if (request.place) request.place.run = run;
  else places.push({ run });
  request.place = undefined;
  while (places[0]?.run) places.shift()!.run!();
}

/** A request that kept a place will not be sent on. */
export function giveUpPlace(request: FastifyRequest): void {
  if (request.place) inOrder(request, () => undefined);
}
