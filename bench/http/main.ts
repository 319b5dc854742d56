import { machineFacts } from './facts.ts';
import { LoadGenerator } from './load-generator.ts';
import { HELP, type Options, parseOptions } from './options.ts';
import type { LoadedPeer } from './peers/peer.ts';
import { dataSetsOf, planOf } from './plan.ts';
import { type Prepared, prepare } from './prepare.ts';
import { type Results, workloadSections, writeReport } from './report.ts';
import { runRounds } from './run.ts';
import { measureShedding } from './shed.ts';
import { judgeTargets, targetsTable } from './targets.ts';

function report(line: string): void {
  process.stderr.write(`${line}\n`);
}

async function main(options: Options): Promise<void> {
  const plan = planOf(options, report);
  const facts = machineFacts(plan.peers);
  const generator = new LoadGenerator();
  const prepared: Prepared[] = [];
  const servers = new Map<string, LoadedPeer>();
  const faults: Record<string, string> = {};
  try {
    for (const peer of plan.peers) {
      try {
        const one = await prepare(peer, dataSetsOf(plan, peer), plan.keyCount, generator);
        prepared.push(one);
        servers.set(peer.name, one.loaded);
        if (one.fault !== undefined) {
          faults[peer.name] = one.fault;
          report(one.loaded.outputTail().trimEnd());
        }
        report(`${peer.label}: ${one.fault ?? (peer.isConstant ? 'started' : 'loaded, answers checked')}`);
      } catch (error) {
        report(`${peer.label}: left out: ${String(error)}`);
      }
    }
    const measurements = await runRounds(plan, servers, generator, report);
    await Promise.all(prepared.splice(0).map((one) => one.close()));
    const shed = plan.withShedding ? await measureShedding(generator, report) : undefined;
    const targets = judgeTargets(measurements, shed);
    const { rounds, seconds, keyCount } = plan;
    const results: Results = {
      facts,
      plan: { rounds, seconds, keyCount },
      faults,
      measurements,
      shed,
      targets,
    };
    await writeReport(results, options.out);
    process.stdout.write(
      `${workloadSections(results).join('\n\n')}\n\n## Targets\n\n${targetsTable(targets)}`,
    );
    report(`written to ${options.out}: http.json, http.md, http-*.svg`);
  } finally {
    generator.close();
    await Promise.all(prepared.map((one) => one.close()));
  }
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') process.stdout.write(HELP);
  else await main(options);
} catch (error) {
  report(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exitCode = 1;
}
