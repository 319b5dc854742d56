/** What a shed order has come to. */
export interface ShedResult {
  /** Bytes of live entries evicted by this order. Expired entries and cleared memory, which go first, are not included. */
  readonly shedBytes: number;
  readonly shedEntries: number;
  /** Bytes given back to the system, cleaning included. */
  readonly releasedBytes: number;
  readonly longestSliceMs: number;
}
