import { MultiBar, Presets } from 'cli-progress';
import type { Stats } from './server.ts';

/** Where the output is no terminal, the figures are said this often. */
const LINE_INTERVAL_SECONDS = 5;

/** What the demo shows while it runs. */
export interface Screen {
  /** A line that stays. */
  say(text: string): void;
  show(seconds: number, stats: Stats): void;
  /** Lines after this one are written as they are. */
  end(): void;
}

export function figures({ totals, memory }: Stats): string {
  const { puts, hits, misses } = totals;
  const { usedBytes, limitBytes, orders } = memory;
  const hitShare = hits / Math.max(1, hits + misses);
  return [
    `${orders} shed order${orders === 1 ? '' : 's'}`,
    memoryText(usedBytes, limitBytes),
    `${Math.round(hitShare * 100)} % hits`,
    `${puts.toLocaleString('en')} keys put`,
  ].join(' | ');
}

export function memoryText(usedBytes: number, limitBytes: number): string {
  const [used, limit] = [usedBytes, limitBytes].map((bytes) => Math.round(bytes / 2 ** 20));
  return `${used} of ${limit} MiB`;
}

/** A progress bar in a terminal, plain lines elsewhere. */
export function openScreen(totalSeconds: number): Screen {
  return process.stdout.isTTY ? barScreen(totalSeconds) : lineScreen(totalSeconds);
}

function barScreen(totalSeconds: number): Screen {
  const bars = new MultiBar(
    {
      stream: process.stdout,
      format: '{bar} {value}/{total} s | {figures}',
      // So that the line fits in 80 columns.
      barsize: 7,
      fps: 4,
      hideCursor: true,
      // Lines that stay may be longer than the terminal is wide.
      linewrap: true,
      // The bar is drawn anew below each line that stays.
      forceRedraw: true,
    },
    Presets.shades_classic,
  );
  const bar = bars.create(totalSeconds, 0, { figures: '' });
  return {
    say: (text) => bars.log(`${text}\n`),
    show: (seconds, stats) => bar.update(seconds, { figures: figures(stats) }),
    end: () => {
      bars.update();
      bars.stop();
    },
  };
}

function lineScreen(totalSeconds: number): Screen {
  let nextSeconds = 0;
  return {
    say: console.log,
    show: (seconds, stats) => {
      if (seconds < nextSeconds) return;
      nextSeconds = seconds + LINE_INTERVAL_SECONDS;
      console.log(`${seconds}/${totalSeconds} s | ${figures(stats)}`);
    },
    end: () => undefined,
  };
}
