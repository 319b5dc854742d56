import { formatBytes, formatCount, formatDuration } from './format.js';
import { messageOf } from './stream.js';

/** The longest value that is shown whole. */
const MAX_SHOWN = 2000;

/**
 * The form to put, get and delete a key. It asks by the public API, and by `/dashboard/entry` for what is known of the entry.
 */
class EntryForm {
  /** @type {HTMLFormElement} */
  #form;
  /** @type {() => Record<string, string>} */
  #headers;

  /** @param {() => Record<string, string>} headers of every request. */
  constructor(headers) {
    this.#headers = headers;
    this.#form = /** @type {HTMLFormElement} */ (document.getElementById('entry-form'));
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
      // The buttons of a read and a deletion let the browser check nothing: a wrong time to live is none of their business.
      const key = /** @type {HTMLInputElement} */ (element('key'));
      if (key.reportValidity()) void this.#run(button?.value ?? 'get');
    });
    // By itself the Enter key presses the first button, which reads.
    element('ttl').addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.isComposing) return;
      event.preventDefault();
      this.#form.requestSubmit(element('put'));
    });
  }

  /** @param {string} action */
  async #run(action) {
    const fields = new FormData(this.#form);
    const key = textOf(fields, 'key');
    this.#form.setAttribute('aria-busy', 'true');
    try {
      const { text, value } = await this.#ask(action, key, fields);
      show('entry-result', text);
      show('entry-value', value ?? '');
      element('entry-value').hidden = value === undefined;
      await this.#inspect(key);
    } catch (error) {
      show('entry-result', error instanceof Failure ? error.message : 'The server does not answer.');
      element('entry-value').hidden = true;
      element('entry-facts').hidden = true;
    } finally {
      this.#form.removeAttribute('aria-busy');
    }
  }

  /**
   * @param {string} action
   * @param {string} key
   * @param {FormData} fields
   * @returns {Promise<{ text: string, value?: string }>}
   */
  async #ask(action, key, fields) {
    const path = `cache?key=${encodeURIComponent(key)}`;
    if (action === 'put') {
      const ttl = textOf(fields, 'ttl').trim();
      // A form writes line ends as CR LF.
      const value = textOf(fields, 'value').replaceAll('\r\n', '\n');
      const body = JSON.stringify({ key, value, ...(ttl !== '' && { ttl: Number(ttl) }) });
      await this.#fetch('cache', { method: 'PUT', headers: { 'content-type': 'application/json' }, body });
      return { text: 'Stored.' };
    }
    if (action === 'delete') {
      const answer = await this.#fetch(path, { method: 'DELETE' }, 404);
      return { text: answer.ok ? 'Deleted.' : 'There is no such key.' };
    }
    const answer = await this.#fetch(path, {}, 404);
    if (!answer.ok) return { text: 'There is no such key.' };
    const { value } = await answer.json();
    const isLong = value.length > MAX_SHOWN;
    const shown = isLong ? `${value.slice(0, MAX_SHOWN)}…` : value;
    return {
      text: isLong ? `Found. The first ${formatCount(MAX_SHOWN)} characters:` : 'Found:',
      value: shown,
    };
  }

  /** @param {string} key */
  async #inspect(key) {
    const answer = await this.#fetch(`dashboard/entry?key=${encodeURIComponent(key)}`, {});
    const { shard, entry } = await answer.json();
    show('entry-shard', `shard ${shard}`);
    const size =
      entry &&
      `${formatBytes(entry.keyBytes)} key, ${formatBytes(entry.valueBytes)} value; ${formatBytes(entry.entryBytes)} held`;
    show('entry-size', size ?? 'not stored');
    show('entry-age', entry ? 'the time of the PUT is not kept' : '–');
    const ttl = entry?.ttlSeconds;
    show(
      'entry-ttl',
      !entry ? '–' : ttl === null ? 'does not expire' : `expires in ${formatDuration(Math.ceil(ttl))}`,
    );
    element('entry-facts').hidden = false;
  }

  /**
   * @param {string} path
   * @param {RequestInit} init
   * @param {number} [expected] A status that is no failure.
   */
  async #fetch(path, init, expected) {
    const headers = { ...this.#headers(), .../** @type {Record<string, string>} */ (init.headers) };
    const answer = await fetch(path, { ...init, headers, cache: 'no-store' });
    if (!answer.ok && answer.status !== expected) throw new Failure(await messageOf(answer));
    return answer;
  }
}

/**
 * @param {FormData} fields
 * @param {string} name
 */
function textOf(fields, name) {
  const value = fields.get(name);
  return typeof value === 'string' ? value : '';
}

/** What the server has against a request. */
class Failure extends Error {}

/** @param {string} id */
function element(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * @param {string} id
 * @param {string} text
 */
function show(id, text) {
  element(id).textContent = text;
}

/** @param {() => Record<string, string>} headers of every request. */
export function handleEntryForm(headers) {
  return new EntryForm(headers);
}
