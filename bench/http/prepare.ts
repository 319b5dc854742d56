import { type DataSetName, keyCountOf, keyOf, valueOf } from './data.ts';
import { DIALECTS } from './dialects.ts';
import type { LoadGenerator } from './load-generator.ts';
import { errorCount } from './measurement.ts';
import type { LoadedPeer, Peer } from './peers/peer.ts';
import { temporaryDirectory } from './temporary-directory.ts';

/** How many keys of each data set are read back and compared before anything is measured. */
const CHECKED_KEYS = 200;

export interface Prepared {
  readonly loaded: LoadedPeer;
  /** What its answers had wrong, if they had: such a server is shown, but its figures do not count. */
  readonly fault: string | undefined;
  close(): Promise<void>;
}

/** Starts a peer, stores the data sets in it and reads some keys back. */
export async function prepare(
  peer: Peer,
  dataSets: readonly DataSetName[],
  keyCount: number,
  generator: LoadGenerator,
): Promise<Prepared> {
  const running = await peer.start({ directory: temporaryDirectory(peer.name) });
  try {
    const loaded: LoadedPeer = { ...running, peer, dataSets };
    const fault = peer.isConstant ? undefined : await loadAndCheck(loaded, keyCount, generator);
    return { loaded, fault, close: () => running.stop() };
  } catch (error) {
    await running.stop();
    throw error;
  }
}

async function loadAndCheck(
  { peer, port, dataSets }: LoadedPeer,
  keyCount: number,
  generator: LoadGenerator,
): Promise<string | undefined> {
  const faults: string[] = [];
  for (const dataSet of dataSets) {
    const sample = await generator.run({ kind: 'load', port, dialect: peer.dialect, keyCount, dataSet });
    if (errorCount(sample) > 0) faults.push(`while loading: ${JSON.stringify(sample.errors)}`);
    const wrong = await countWrong(peer, port, dataSet, keyCount);
    if (wrong > 0) faults.push(`${wrong} of ${CHECKED_KEYS} keys read back wrong or not at all`);
  }
  return faults[0];
}

async function countWrong(peer: Peer, port: number, dataSet: DataSetName, keyCount: number): Promise<number> {
  const dialect = DIALECTS[peer.dialect];
  const count = keyCountOf(dataSet, keyCount);
  let wrong = 0;
  for (let check = 0; check < CHECKED_KEYS; check++) {
    const index = Math.floor((check * count) / CHECKED_KEYS);
    const { path, headers } = dialect.get(keyOf(dataSet, index));
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      // A connection each, so that every worker of a server is asked; gzip where the text is for that.
      headers: {
        ...headers,
        Connection: 'close',
        'Accept-Encoding': dataSet === 'text' ? 'gzip' : 'identity',
      },
    });
    const body = await response.text();
    const isRight =
      response.status === dialect.statuses.hit &&
      dialect.readValue(body) === valueOf(dataSet, index) &&
      (dataSet !== 'text' || response.headers.get('content-encoding') === 'gzip');
    if (!isRight) wrong++;
  }
  return wrong;
}
