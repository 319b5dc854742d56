import { spawnSync } from 'node:child_process';
import { arch, availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';
import packageJson from '../../package.json' with { type: 'json' };

const DEBIAN_PACKAGES = ['redis-server', 'webdis', 'memcached', 'nginx'];

/** What one must know to compare figures with those of another machine or day. */
export function machineText(): string {
  const commit = outputOf('git', 'describe', '--always', '--dirty') || 'unknown';
  const format = '--showformat=${Package} ${Version}\n';
  const installed = outputOf('dpkg-query', format, '--show', ...DEBIAN_PACKAGES).split('\n');
  // package.json names exact versions.
  const {
    fastify,
    autocannon,
    'lru-cache': lru,
  } = { ...packageJson.dependencies, ...packageJson.devDependencies };
  const npm = [`autocannon ${autocannon}`, `fastify ${fastify}`, `lru-cache ${lru}`];
  const versions = [...npm, ...installed.filter((line) => /\s\S/.test(line))];
  return [
    `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC, commit ${commit}`,
    `${cpus()[0]?.model.trim()}, ${availableParallelism()} processors, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `${type()} ${release()} ${arch()}`,
    `Node ${process.version}, ${versions.join(', ')}`,
    // Above 0, others were using the machine.
    `load average before the run ${loadavg()[0].toFixed(2)}.`,
  ].join('; ');
}

/** What it printed, even if it failed: dpkg-query fails if one of several packages is missing. */
function outputOf(command: string, ...args: string[]): string {
  const { stdout } = spawnSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return (stdout ?? '').trim();
}
