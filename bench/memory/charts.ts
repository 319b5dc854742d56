import { barChartSvg, lineChartSvg } from '../lib/chart.ts';
import { median } from '../lib/statistics.ts';
import { bestFootprints, type MemoryReport, overhead, rssDropShare, shedLabel } from './report.ts';

const MIB = 2 ** 20;

export function footprintSvg(report: MemoryReport): string {
  const best = bestFootprints(report.footprints);
  const sizes = [...new Set(best.map(({ entries }) => entries))];
  return barChartSvg({
    title: 'Memory per entry beyond key and value',
    unit: 'resident bytes; keys of 16, values of 100 bytes',
    groups: sizes.map((entries) => ({
      label: `${entries.toLocaleString('en-US')} entries`,
      bars: best
        .filter((row) => row.entries === entries)
        .map((row) => ({ label: row.subject, value: overhead(row) })),
    })),
  });
}

export function replacementSvg({ replacements }: MemoryReport): string {
  return lineChartSvg({
    title: 'Live ÷ reserved while the content is replaced',
    xLabel: 'times replaced',
    yLabel: 'live ÷ reserved, %',
    series: Object.entries(replacements).map(([label, { points }]) => ({
      label,
      points: points.map(({ turnover, liveToReserved }): [number, number] => [
        turnover,
        liveToReserved * 100,
      ]),
    })),
  });
}

export function shedSvg({ sheds, scale }: MemoryReport): string {
  return barChartSvg({
    title: `One shed order of 10 % at ${scale.heldBytes / MIB} MiB held`,
    unit: 'what resident memory fell by within a second, % of what was held',
    groups: sheds.map((row) => ({
      label: shedLabel(row),
      bars: [{ label: 'RSS lower by', value: median(row.rounds.map(rssDropShare)) * 100 }],
    })),
  });
}
