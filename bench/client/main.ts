/** The cache's client beside other clients, and beside Redis, as a Node service would use them. */
import { parseArgs } from 'node:util';
import { parseCount, parseNames, readFlags } from '../lib/flags.ts';
import { machineText } from '../lib/machine.ts';
import { isInstalled } from '../lib/process.ts';
import { runSteps, say } from '../lib/progress.ts';
import { writeReport } from '../lib/report.ts';
import { inRound } from '../lib/statistics.ts';
import { ClientProcess, type Measurement, startServers } from './measurement.ts';
import { CLIENTS, CONCURRENCIES, type ClientName, OPERATIONS, VALUE_BYTES } from './plan.ts';
import { clientReport } from './report.ts';

const FULL = { rounds: 3, milliseconds: 900, warmUpMs: 200 };
const QUICK = { rounds: 3, milliseconds: 500, warmUpMs: 150 };

const HELP = `Measures clients of a Node service: the cache's own, plain HTTP, and clients of Redis. 9 minutes.

  npm run bench:client -- [--quick] [--clients A,B] [--shards N] [--rounds N]

  --quick     only GETs of 100 bytes, in a minute
  --clients   some of ${CLIENTS.join(', ')}
  --shards    SHARDS of the server (default 1)
  --rounds    rounds of each measurement (default ${FULL.rounds})
`;

const flags = readFlags(HELP, () => {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      clients: { type: 'string', default: CLIENTS.join(',') },
      shards: { type: 'string', default: '1' },
      rounds: { type: 'string', default: String(FULL.rounds) },
    },
  });
  return {
    isQuick: values.quick,
    clients: parseNames('clients', values.clients, CLIENTS) as ClientName[],
    shards: parseCount('shards', values.shards),
    rounds: parseCount('rounds', values.rounds),
  };
});

const { milliseconds, warmUpMs } = flags.isQuick ? QUICK : FULL;
const cells = (flags.isQuick ? [100] : VALUE_BYTES).flatMap((valueBytes) =>
  (flags.isQuick ? (['GET'] as const) : OPERATIONS).flatMap((operation) =>
    CONCURRENCIES.map((concurrency) => ({ valueBytes, operation, concurrency })),
  ),
);
if (!isInstalled('redis-server')) {
  say('redis-server is not installed: apt install --no-install-recommends redis-server');
  process.exit(1);
}
const machine = machineText();
const servers = await startServers(flags.shards);
const processes: ClientProcess[] = [];
try {
  for (const name of flags.clients) processes.push(await ClientProcess.start(name, servers));
  for (const each of processes) await each.warmUp();
  const measurements: Measurement[] = [];
  const steps = Array.from({ length: flags.rounds }, (_, round) =>
    cells.flatMap((cell) =>
      inRound(processes, round).map((client) => async () => {
        const measurement = await client.measure(cell, milliseconds, warmUpMs);
        measurements.push(measurement);
        const { operation, concurrency, valueBytes } = cell;
        const text = `${client.name}: ${operation}, ${valueBytes} B, ${concurrency} at once`;
        return `${text}: ${Math.round(measurement.callsPerSecond)}/s`;
      }),
    ),
  ).flat();
  await runSteps(steps);
  const isWhole = !flags.isQuick && flags.clients.length === CLIENTS.length;
  const setup = { rounds: flags.rounds, milliseconds, shards: flags.shards };
  await writeReport(clientReport(machine, measurements, setup), measurements, isWhole);
} finally {
  for (const each of processes) await each.stop();
  await Promise.all([servers.ours.stop(), servers.redis.stop()]);
}
process.exit();
