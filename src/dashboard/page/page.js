import { Charts } from './charts.js';
import { handleEntryForm } from './entry-form.js';
import { formatBytes, formatCount, formatDuration, formatMs, formatShare, formatTime } from './format.js';
import { Stream } from './stream.js';

/**
 * @import { KeptEvent, Sample } from '../samples.ts'
 * @import { State } from './stream.js'
 */

const MAX_EVENTS = 100;
/** From so many shards on they stand close together. */
const MANY_SHARDS = 9;

/** @type {Record<State, string>} */
const STATES = {
  connecting: 'Connecting…',
  live: 'Live',
  lost: 'Lost connection; tries again in 2 s',
  token: 'Waits for the token',
  refused: 'Refused; tries again in 2 s',
  paused: 'Paused while nobody looks',
};

/** @param {string} id */
function element(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * @param {string} id
 * @param {string} text
 */
function show(id, text) {
  const node = element(id);
  if (node.textContent !== text) node.textContent = text;
}

const charts = new Charts();
/** @type {KeptEvent[]} Oldest first. */
let events = [];

/** @param {Sample} sample */
function showFigures({ memory, rates, hitRatio, totalHitRatio, latencyMs, shards, uptimeSeconds }) {
  const { usedBytes, limitBytes } = memory;
  show('figure-memory', formatBytes(usedBytes));
  show('note-memory', `${formatShare(usedBytes / limitBytes)} of ${formatBytes(limitBytes)}`);
  show('figure-requests', rates ? `${formatCount(rates.get + rates.put + rates.delete)}/s` : '–');
  show('note-requests', rates ? `${formatCount(rates.get)} get, ${formatCount(rates.put)} put` : 'measuring');
  show('figure-hits', formatShare(hitRatio));
  show(
    'note-hits',
    totalHitRatio === null ? 'no read so far' : `${formatShare(totalHitRatio)} since the start`,
  );
  show('figure-latency', formatMs(latencyMs?.p99));
  show('note-latency', latencyMs ? `median ${formatMs(latencyMs.p50)}` : 'no request');
  show('figure-entries', formatCount(shards.reduce((sum, { entries }) => sum + entries, 0)));
  show('note-entries', `${formatBytes(shards.reduce((sum, { liveBytes }) => sum + liveBytes, 0))} live`);
  showGone();
  show('uptime', `up ${formatDuration(uptimeSeconds)}`);
}

function showGone() {
  let evicted = 0;
  let shed = 0;
  for (const { gone } of charts.samples) {
    evicted += gone?.evicted ?? 0;
    shed += gone?.shed ?? 0;
  }
  show('figure-gone', formatCount(evicted + shed));
  show('note-gone', `${formatCount(shed)} shed, ${formatCount(evicted)} evicted`);
}

/** @param {Sample} sample */
function showTier({ tier }) {
  element('tier').hidden = tier === null;
  if (tier === null) return;
  const texts = tier.nodes.map(({ address, isUp }) => `${address} ${isUp ? 'connected' : 'gone'}`);
  const list = element('tier-nodes');
  if ([...list.children].map(({ textContent }) => textContent).join() === texts.join()) return;
  list.replaceChildren(
    ...tier.nodes.map(({ isUp }, i) => {
      const item = document.createElement('li');
      item.textContent = texts[i];
      item.classList.toggle('down', !isUp);
      return item;
    }),
  );
}

/** @param {Sample} sample */
function showShards({ shards, memory }) {
  const list = element('shards');
  if (list.childElementCount !== shards.length) {
    list.replaceChildren(...shards.map(newShard));
    // There the sizes open with the focus: by a tap, too.
    if (shards.length >= MANY_SHARDS) for (const item of list.querySelectorAll('li')) item.tabIndex = 0;
    list.classList.toggle('many', shards.length >= MANY_SHARDS);
  }
  const share = memory.ceilingBytes / shards.length;
  const most = Math.max(share, ...shards.map(({ reservedBytes }) => reservedBytes));
  for (const [i, shard] of shards.entries())
    showShard(/** @type {HTMLElement} */ (list.children[i]), shard, share, most);
}

/** @param {Sample['shards'][number]} shard */
function newShard({ shard }) {
  const template = /** @type {HTMLTemplateElement} */ (element('shard-template'));
  const item = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  part(item, 'name').textContent = `Shard ${shard}`;
  return item;
}

/**
 * @param {HTMLElement} item
 * @param {Sample['shards'][number]} shard
 * @param {number} share What each may hold if all hold the same.
 * @param {number} most
 */
function showShard(item, { state, entries, liveBytes, reservedBytes, hitRatio, inFlight }, share, most) {
  const isUp = state === 'up';
  const holesBytes = Math.max(0, reservedBytes - liveBytes);
  const freeBytes = Math.max(0, share - reservedBytes);
  item.classList.toggle('down', !isUp);
  part(item, 'hits').textContent = isUp
    ? `${formatShare(hitRatio === null ? null : Math.floor(hitRatio * 100) / 100)} hits`
    : state;
  part(item, 'live').style.width = `${(liveBytes / most) * 100}%`;
  part(item, 'holes').style.width = `${(holesBytes / most) * 100}%`;
  const sizes = `${formatBytes(liveBytes)} live, ${formatBytes(holesBytes)} holes, ${formatBytes(freeBytes)} free`;
  part(item, 'bar').setAttribute('aria-label', sizes);
  item.title = `${sizes}; ${formatCount(entries)} entries, ${formatCount(inFlight)} requests in flight`;
  part(item, 'sizes').textContent = `${formatCount(entries)} entries: ${sizes}`;
}

/**
 * @param {ParentNode} parent
 * @param {string} name
 */
function part(parent, name) {
  return /** @type {HTMLElement} */ (parent.querySelector(`.${name}`));
}

/** @param {readonly KeptEvent[]} added */
function addEvents(added) {
  const last = events.at(-1)?.number ?? 0;
  const fresh = added.filter(({ number }) => number > last);
  if (fresh.length === 0) return;
  events = [...events, ...fresh].slice(-MAX_EVENTS);
  const list = element('events');
  list.prepend(...fresh.toReversed().map(newEvent));
  while (list.childElementCount > MAX_EVENTS) list.lastElementChild?.remove();
  element('no-events').hidden = true;
  charts.addMarks(fresh);
}

/** @param {KeptEvent} event */
function newEvent({ atMs, level, message, mark }) {
  const item = document.createElement('li');
  const time = document.createElement('time');
  const text = document.createElement('span');
  time.dateTime = new Date(atMs).toISOString();
  time.textContent = formatTime(atMs);
  text.textContent = ['info', 'debug'].includes(level) ? message : `${level}: ${message}`;
  item.className = `${level} ${mark ?? ''}`;
  item.append(time, text);
  return item;
}

/**
 * @param {State} state
 * @param {string} why
 */
function showState(state, why) {
  const status = element('status');
  status.dataset['state'] = state;
  show('status', state === 'refused' ? `${why} Tries again in 2 s` : STATES[state]);
  element('token-panel').hidden = state !== 'token';
  element('main').classList.toggle('stale', state !== 'live');
  element('main').classList.toggle('locked', state === 'token');
  if (state !== 'token') return;
  show('token-fault', why);
  element('token').focus();
}

const stream = new Stream({
  onStart: (start) => {
    // The numbers of events begin anew with the server.
    events = [];
    element('events').replaceChildren();
    addEvents(start.events);
    show('version', start.version);
  },
  onSample: (sample) => {
    addEvents(sample.events);
    charts.add(sample);
    element('waiting').hidden = true;
    showFigures(sample);
    showTier(sample);
    showShards(sample);
  },
  onState: showState,
});

element('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const field = /** @type {HTMLInputElement} */ (element('token'));
  stream.token = field.value;
  // From here on it is in the memory of this page alone.
  field.value = '';
  stream.open();
});

handleEntryForm(() => stream.headers);
// Asking without it would only be refused.
if (document.body.dataset['wantsToken'] === 'true') showState('token', '');
else stream.open();
