import type { DataSetName } from '../data.ts';
import type { DialectName } from '../dialects.ts';

/** A server to measure. */
export interface Peer {
  readonly name: string;
  readonly label: string;
  readonly dialect: DialectName;
  /** Its answers are constant: nothing to load, no value to check. */
  readonly isConstant: boolean;
  /** Someone else's cache that one could run instead: what the targets compare with. */
  readonly isAlternative: boolean;
  /** Commands it needs; without them it is left out. */
  readonly needs: readonly string[];
  start(context: PeerContext): Promise<RunningPeer>;
}

export interface PeerContext {
  /** A directory of its own for configuration, deleted afterwards. */
  readonly directory: string;
}

export interface RunningPeer {
  readonly port: number;
  /** First the one whose main thread is the event loop that serves. */
  readonly pids: readonly number[];
  stop(): Promise<void>;
  /** Its last words, for when it answers wrongly. */
  outputTail(): string;
}

/** A peer that is up, holds its data and answered as it should. */
export interface LoadedPeer extends RunningPeer {
  readonly peer: Peer;
  readonly dataSets: readonly DataSetName[];
}

/** Whether an HTTP server answers at all there, or with `status`. */
export async function answers(url: string, status?: number): Promise<boolean> {
  const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
  await response.arrayBuffer();
  return status === undefined || response.status === status;
}
