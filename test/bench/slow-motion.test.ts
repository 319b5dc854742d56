import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { whyNoSlowMotion } from '../../bench/scale/slow-motion.ts';
import { ROOT } from '../readme/page.ts';

const missing = whyNoSlowMotion();
if (missing !== undefined) console.warn(`skipped, no thread is slowed down: ${missing}`);

const groupOf = (thread: string): string => `/sys/fs/cgroup/cpu/kvc-scale-${thread}`;

function childrenOf(pid: number): string[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return children === '' ? [] : children.split(' ');
}

test.skipIf(missing !== undefined)(
  'a measurement in slow motion that is interrupted leaves no server and no control group',
  async () => {
    const args = ['bench/scale/main.ts', '--threads', '1+1', '--rounds', '1', '--connections', '2'];
    const bench = spawn(process.execPath, args, { cwd: ROOT, stdio: 'ignore' });
    const exited = once(bench, 'exit');
    onTestFinished(() => void bench.kill());
    const slowed = (): string[] => childrenOf(bench.pid!).filter((pid) => existsSync(groupOf(pid)));
    await expect.poll(() => slowed().length, { timeout: 50_000 }).toBeGreaterThan(0);
    const servers = childrenOf(bench.pid!);
    const groups = slowed().flatMap((pid) => readdirSync(`/proc/${pid}/task`).map(groupOf));
    expect(groups.length).toBeGreaterThan(2);
    bench.kill('SIGINT');
    expect(await exited).toStrictEqual([1, null]);
    expect(groups.filter((group) => existsSync(group))).toStrictEqual([]);
    await expect.poll(() => servers.filter((pid) => existsSync(`/proc/${pid}`))).toStrictEqual([]);
  },
);
