/** One operation on one key, as its client saw it. */
export interface Operation {
  readonly kind: 'put' | 'get' | 'delete' | 'clear';
  /** What was put, or what was read; null for nothing. */
  readonly value: string | null;
  /** Of a delete: whether there was an entry. */
  readonly wasThere?: boolean;
  /** Places in the one order of all sendings and answers. */
  readonly sentAt: number;
  readonly answeredAt: number;
}

/**
 * Whether there is an order of the operations, each at one moment between its sending and its answer, in which
 * a key that holds one value would have given these answers. So the last acknowledged write wins.
 *
 * Source: Wing and Gong, "Testing and Verifying Concurrent Objects" (1993), with states seen remembered.
 */
export function isLinearizable(operations: readonly Operation[]): boolean {
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
      const next = apply(operation, held);
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
