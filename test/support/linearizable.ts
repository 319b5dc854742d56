/** When an operation was, as its client saw it: places in the one order of all sendings and answers. */
export interface Timed {
  readonly sentAt: number;
  readonly answeredAt: number;
}

/** One operation on one key, as its client saw it. */
export interface Operation extends Timed {
  readonly kind: 'put' | 'get' | 'delete' | 'clear';
  /** What was put, or what was read; null for nothing. */
  readonly value: string | null;
  /** Of a delete: whether there was an entry. */
  readonly wasThere?: boolean;
}

/** Whether there is an order of the operations in which a key that holds one value would have given these answers. */
export function isLinearizable(operations: readonly Operation[]): boolean {
  return canBeOrdered(operations, apply);
}

/**
 * Whether there is an order of operations on one key, each at one moment between its sending and its answer, in which
 * every answer is right. So the last acknowledged write wins.
 *
 * Source: Wing and Gong, "Testing and Verifying Concurrent Objects" (1993), with states seen remembered.
 *
 * @param after what the key holds after an operation; undefined when it could not have been answered so.
 */
export function canBeOrdered<Op extends Timed>(
  operations: readonly Op[],
  after: (operation: Op, held: string | null) => string | null | undefined,
): boolean {
  const all = (1n << BigInt(operations.length)) - 1n;
  const seen = new Set<string>();

  function search(done: bigint, held: string | null): boolean {
    if (done === all) return true;
    const state = `${done} ${held}`;
    if (seen.has(state)) return false;
    seen.add(state);
    const open = operations.flatMap((operation, i) => ((done >> BigInt(i)) & 1n ? [] : [{ operation, i }]));
    // Nothing that was sent after another's answer can come before that one.
    const firstAnswer = Math.min(...open.map(({ operation }) => operation.answeredAt));
    return open.some(({ operation, i }) => {
      if (operation.sentAt > firstAnswer) return false;
      const next = after(operation, held);
      return next !== undefined && search(done | (1n << BigInt(i)), next);
    });
  }
  return search(0n, null);
}

/** What is held after it; undefined when it could not have been answered so. */
function apply({ kind, value, wasThere }: Operation, held: string | null): string | null | undefined {
  switch (kind) {
    case 'put':
      return value;
    case 'get':
      return value === held ? held : undefined;
    case 'delete':
      return wasThere === (held !== null) ? null : undefined;
    default:
      return null;
  }
}
