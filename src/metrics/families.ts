import {
  type Counter,
  ROUTING_COUNTERS,
  SHARD_COUNTERS,
  SNAPSHOT_COUNTERS,
  TIER_COUNTERS,
} from '../shared/stats-counters.ts';

/** One metric: what stands before its samples. */
export interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
}

/** All metrics beside those of the table of counters. Names follow the conventions of Prometheus. */
export const FAMILIES = {
  info: { name: 'kvc_info', type: 'gauge', help: 'Always 1; the label has the version.' },
  tierNodeUp: {
    name: 'kvc_tier_node_up',
    type: 'gauge',
    help: 'Whether a shard is connected to a node of the engine behind it.',
  },
  shardUp: { name: 'kvc_shard_up', type: 'gauge', help: 'Whether the shard answers.' },

  requestDuration: {
    name: 'kvc_http_request_duration_seconds',
    type: 'histogram',
    help:
      'From the head of a request to the end of its answer, by route, method and status. ' +
      'Status "none": the client went, or was cut off, before an answer.',
  },
  requestsInProgress: {
    name: 'kvc_http_requests_in_progress',
    type: 'gauge',
    help: 'Requests whose answers have not left.',
  },
  refusals: {
    name: 'kvc_http_refusals_total',
    type: 'counter',
    help: 'Requests that may be right and were refused all the same, by reason.',
  },
  cutOffs: {
    name: 'kvc_http_connections_cut_off_total',
    type: 'counter',
    help: 'Connections that the server closed and their clients would have kept, by reason.',
  },
  connections: { name: 'kvc_http_connections', type: 'gauge', help: 'Open connections.' },
  waiting: {
    name: 'kvc_http_connections_waiting',
    type: 'gauge',
    help: 'Connections that wait for a place at the door.',
  },
  maxConnections: {
    name: 'kvc_http_connections_limit',
    type: 'gauge',
    help: 'Connections that may ask for anything. Further ones may only ask probes.',
  },
  unreadBytes: {
    name: 'kvc_http_unread_body_bytes',
    type: 'gauge',
    help: 'Bytes of bodies that have come before there was room for them.',
  },
  unsentBytes: {
    name: 'kvc_http_held_answer_bytes',
    type: 'gauge',
    help: 'Bytes of small answers that cannot leave yet.',
  },

  frontRestarts: {
    name: 'kvc_http_thread_restarts_total',
    type: 'counter',
    help: 'HTTP threads that died and were started anew. Their connections were lost.',
  },

  limit: { name: 'kvc_memory_limit_bytes', type: 'gauge', help: 'What 100 % of memory means.' },
  used: {
    name: 'kvc_memory_used_bytes',
    type: 'gauge',
    help: 'What counts against the limit: resident memory, or what the control group counts.',
  },
  threshold: {
    name: 'kvc_memory_threshold_bytes',
    type: 'gauge',
    help: 'Above it the shards are ordered to shed.',
  },
  ceiling: {
    name: 'kvc_memory_ceiling_bytes',
    type: 'gauge',
    help: 'What all shards together can never hold more than.',
  },
  held: { name: 'kvc_memory_held_bytes', type: 'gauge', help: 'What all shards hold, by the ledger.' },
  orders: {
    name: 'kvc_supervisor_orders_total',
    type: 'counter',
    help: 'Shed orders given; each goes to all shards that hold something.',
  },
  asked: {
    name: 'kvc_supervisor_asked_bytes_total',
    type: 'counter',
    help: 'Bytes that shed orders asked for.',
  },
  freed: {
    name: 'kvc_supervisor_freed_bytes_total',
    type: 'counter',
    help: 'Bytes that shed orders gave back to the system.',
  },
  orderSeconds: {
    name: 'kvc_supervisor_order_seconds_total',
    type: 'counter',
    help: 'Time that shed orders took, until all shards had answered.',
  },

  active: {
    name: 'kvc_event_loop_active_seconds_total',
    type: 'counter',
    help:
      'Time that the event loop of a thread was not idle. ' +
      'A shard that waits for its next request counts as active for up to 4 ms: see kvc_thread_cpu_seconds_total.',
  },
  idle: {
    name: 'kvc_event_loop_idle_seconds_total',
    type: 'counter',
    help: 'Time that the event loop of a thread waited for events.',
  },
  processor: {
    name: 'kvc_thread_cpu_seconds_total',
    type: 'counter',
    help: 'Processor time of a thread, user and system.',
  },
  delay: {
    name: 'kvc_event_loop_delay_seconds',
    type: 'histogram',
    help: 'How late a timer was, 10 times a second; sampled from the first scrape on.',
  },
  pause: {
    name: 'kvc_gc_pause_seconds',
    type: 'histogram',
    help: 'Pauses by the garbage collector of a thread; sampled from the first scrape on.',
  },

  // Names that every exporter of a process uses.
  processCpu: {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    help: 'Processor time of the process, all threads, user and system.',
  },
  resident: { name: 'process_resident_memory_bytes', type: 'gauge', help: 'Resident memory.' },
  started: {
    name: 'process_start_time_seconds',
    type: 'gauge',
    help: 'When the process started, in seconds since the epoch.',
  },
} as const satisfies Readonly<Record<string, Family>>;

/** A metric of the table of counters. */
export interface CounterFamily extends Family {
  /** The counter's name. */
  readonly counter: string;
}

export const SHARD_FAMILIES = SHARD_COUNTERS.map((counter) => familyOf(counter));
export const ROUTING_FAMILIES = ROUTING_COUNTERS.map((counter) => familyOf(counter));
export const SNAPSHOT_FAMILIES = SNAPSHOT_COUNTERS.map((counter) => familyOf(counter));
/** Without samples where there is no engine behind the shards. */
export const TIER_FAMILIES = TIER_COUNTERS.map((counter) => familyOf(counter, 'kvc_tier'));

/** `evicted`, counted in entries, becomes `kvc_evicted_entries_total`. */
function familyOf<Name extends string>(counter: Counter & { readonly name: Name }, prefix = 'kvc') {
  const { name, kind, unit, help } = counter;
  const words = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  // What a counter of requests counts is in its name: hits, puts.
  const isNamed = words.endsWith(unit) || (kind === 'counter' && unit === 'requests');
  const full = isNamed ? words : `${words}_${unit}`;
  return { counter: name, name: `${prefix}_${full}${kind === 'counter' ? '_total' : ''}`, type: kind, help };
}

/** Every metric that there is. */
export const ALL_FAMILIES: readonly Family[] = [
  ...Object.values(FAMILIES),
  ...SHARD_FAMILIES,
  ...ROUTING_FAMILIES,
  ...SNAPSHOT_FAMILIES,
  ...TIER_FAMILIES,
];
