import { expect, test } from 'vitest';
import { ALL_FAMILIES } from '../../src/metrics/families.ts';
import { CUT_OFFS, REFUSALS } from '../../src/metrics/refusals.ts';

/** Dashboards and alerts of others name these: none is renamed, none goes without notice. */
const NAMES = [
  'gauge kvc_info',
  'gauge kvc_tier_node_up',
  'gauge kvc_shard_up',
  'histogram kvc_http_request_duration_seconds',
  'gauge kvc_http_requests_in_progress',
  'counter kvc_http_refusals_total',
  'counter kvc_http_connections_cut_off_total',
  'gauge kvc_http_connections',
  'gauge kvc_http_connections_waiting',
  'gauge kvc_http_connections_limit',
  'gauge kvc_http_unread_body_bytes',
  'gauge kvc_http_held_answer_bytes',
  'counter kvc_http_thread_restarts_total',
  'gauge kvc_memory_limit_bytes',
  'gauge kvc_memory_used_bytes',
  'gauge kvc_memory_threshold_bytes',
  'gauge kvc_memory_ceiling_bytes',
  'gauge kvc_memory_held_bytes',
  'counter kvc_supervisor_orders_total',
  'counter kvc_supervisor_asked_bytes_total',
  'counter kvc_supervisor_freed_bytes_total',
  'counter kvc_supervisor_order_seconds_total',
  'counter kvc_event_loop_active_seconds_total',
  'counter kvc_event_loop_idle_seconds_total',
  'counter kvc_thread_cpu_seconds_total',
  'histogram kvc_event_loop_delay_seconds',
  'histogram kvc_gc_pause_seconds',
  'counter process_cpu_seconds_total',
  'gauge process_resident_memory_bytes',
  'gauge process_start_time_seconds',
  'gauge kvc_entries',
  'gauge kvc_live_bytes',
  'gauge kvc_reserved_bytes',
  'counter kvc_hits_total',
  'counter kvc_misses_total',
  'counter kvc_puts_total',
  'counter kvc_deletes_total',
  'counter kvc_cleared_entries_total',
  'counter kvc_evicted_entries_total',
  'counter kvc_evicted_unread_entries_total',
  'gauge kvc_oldest_age_seconds',
  'counter kvc_expired_entries_total',
  'counter kvc_shed_orders_total',
  'counter kvc_shed_entries_total',
  'counter kvc_shed_bytes_total',
  'counter kvc_loaded_entries_total',
  'counter kvc_restarts_total',
  'gauge kvc_in_flight_requests',
  'counter kvc_busy_rejections_total',
  'counter kvc_snapshots_total',
  'counter kvc_snapshot_failures_total',
  'gauge kvc_snapshot_time_seconds',
  'gauge kvc_snapshot_entries',
  'gauge kvc_snapshot_bytes',
  'gauge kvc_snapshot_duration_seconds',
  'gauge kvc_snapshot_load_seconds',
  'counter kvc_snapshot_superseded_entries_total',
  'counter kvc_snapshot_expired_entries_total',
  'counter kvc_snapshot_kept_out_entries_total',
  'counter kvc_snapshot_damaged_sections_total',
  'counter kvc_tier_hits_total',
  'counter kvc_tier_misses_total',
  'counter kvc_tier_fetches_total',
  'counter kvc_tier_writes_total',
  'counter kvc_tier_failures_total',
  'counter kvc_tier_invalidations_total',
  'counter kvc_tier_flushes_total',
];

test('names and types are pinned', () => {
  expect(ALL_FAMILIES.map(({ type, name }) => `${type} ${name}`)).toStrictEqual(NAMES);
});

test('each has its help, in one line, and the suffix of its type and unit', () => {
  for (const { name, type, help } of ALL_FAMILIES) {
    expect(help, name).toMatch(/^[^\n\\]+\.$/);
    expect(name.endsWith('_total'), name).toBe(type === 'counter');
    expect(name, name).not.toMatch(/_ms\b|_mib|_ratio_total/);
    if (type === 'histogram') expect(name).toMatch(/_seconds$/);
  }
});

test('reasons are pinned', () => {
  expect(Object.keys(REFUSALS)).toStrictEqual([
    'shard_busy',
    'shard_unavailable',
    'shard_deadline',
    'tier_unavailable',
    'bodies',
    'connections',
    'admin',
    'rate_limit',
    'unauthorized',
    'slow_body',
  ]);
  expect(Object.keys(CUT_OFFS)).toStrictEqual([
    'waited',
    'made_room',
    'stalled',
    'slow_answer',
    'unanswered',
    'unread_bodies',
    'held_answers',
  ]);
});
