/** @import { KeptEvent, Sample } from '../samples.ts' */

/**
 * @typedef {object} Start
 * @property {string} version
 * @property {KeptEvent[]} events
 *
 * @typedef {'connecting' | 'live' | 'lost' | 'token' | 'refused' | 'paused'} State
 *
 * @typedef {object} Listener
 * @property {(start: Start) => void} onStart
 * @property {(sample: Sample) => void} onSample
 * @property {(state: State, why: string) => void} onState
 */

const RETRY_MS = 2000;
/** A stream without an event for so long is as good as lost. */
const SILENCE_MS = 8000;
/** A page that nobody looks at for so long stops listening. */
const HIDDEN_MS = 5 * 60_000;

/**
 * The feed of the server. It is read by `fetch`: an `EventSource` could not send the token, and could not say why it fails.
 */
export class Stream {
  /** @type {string | undefined} */
  token;
  /** @type {Listener} */
  #listener;
  /** @type {AbortController | undefined} */
  #current;
  /** Whether it listens, or will as soon as it can. */
  #isOpen = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retryTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #hiddenTimer;

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
    document.addEventListener('visibilitychange', () => this.#followVisibility());
  }

  /** The headers of every request to the server. @returns {Record<string, string>} */
  get headers() {
    return this.token === undefined ? {} : { authorization: `Bearer ${this.token}` };
  }

  /** Begins to listen, anew if it does already. */
  open() {
    this.close();
    const controller = new AbortController();
    this.#current = controller;
    this.#isOpen = true;
    this.#listener.onState('connecting', '');
    this.#listen(controller).then(
      () => this.#ended(controller, ''),
      (/** @type {unknown} */ error) =>
        this.#ended(controller, error instanceof Refused ? error.message : ''),
    );
  }

  close() {
    clearTimeout(this.#retryTimer);
    this.#isOpen = false;
    this.#current?.abort();
    this.#current = undefined;
  }

  /** @param {AbortController} controller */
  async #listen(controller) {
    let timer = setTimeout(() => controller.abort(), SILENCE_MS);
    try {
      const { signal } = controller;
      const answer = await fetch('dashboard/feed', { headers: this.headers, cache: 'no-store', signal });
      if (answer.status === 401) {
        this.#current = undefined;
        this.#isOpen = false;
        this.#listener.onState('token', this.token === undefined ? '' : 'That is not the token.');
        return;
      }
      if (!answer.ok || !answer.body) throw new Refused(await messageOf(answer));
      for await (const { event, data } of eventsOf(answer.body)) {
        clearTimeout(timer);
        timer = setTimeout(() => controller.abort(), SILENCE_MS);
        if (event === 'start') {
          this.#listener.onState('live', '');
          this.#listener.onStart(JSON.parse(data));
        } else if (event === 'sample') this.#listener.onSample(JSON.parse(data));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * @param {AbortController} controller
   * @param {string} why
   */
  #ended(controller, why) {
    // Closed by this page, or another one has begun.
    if (this.#current !== controller) return;
    this.#current = undefined;
    this.#listener.onState(why === '' ? 'lost' : 'refused', why);
    this.#retryTimer = setTimeout(() => this.open(), RETRY_MS);
  }

  #followVisibility() {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden) {
      this.#hiddenTimer = setTimeout(() => {
        if (!this.#isOpen) return;
        this.close();
        this.#listener.onState('paused', '');
        document.addEventListener('visibilitychange', () => this.open(), { once: true });
      }, HIDDEN_MS);
    }
  }
}

/** The server has answered, and does not send the feed. */
class Refused extends Error {}

/**
 * What an answer says that is an error, in words.
 * @param {Response} answer
 * @returns {Promise<string>}
 */
export async function messageOf(answer) {
  try {
    const { message } = await answer.json();
    return String(message);
  } catch {
    return `HTTP ${answer.status}`;
  }
}

/**
 * Reads server-sent events, as this server writes them: a line with the name, one with the data, an empty one.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<{ event: string, data: string }>}
 */
async function* eventsOf(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = /^event: (.*)\ndata: (.*)$/.exec(block);
      if (fields) yield { event: fields[1], data: fields[2] };
    }
  }
}
