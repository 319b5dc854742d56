import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { ALL_FAMILIES } from '../../src/metrics/families.ts';
import { CUT_OFFS, REFUSALS } from '../../src/metrics/refusals.ts';
import { makeFolder } from '../support/folder.ts';
import { programPath } from '../support/program.ts';

const PROMTOOL = programPath('promtool', 'the alert rules are not checked with it');
const FOLDER = fileURLToPath(new URL('../../docs/operations/', import.meta.url));
const ALERT_CASES = fileURLToPath(new URL('alerts.test.yml', import.meta.url));
const ALERTS = readFileSync(`${FOLDER}alerts.yml`, 'utf8');
const DASHBOARD = readFileSync(`${FOLDER}grafana-dashboard.json`, 'utf8');
const PAGE = readFileSync(`${FOLDER}README.md`, 'utf8');

/** Names as they may stand in an expression: of a histogram its three parts. */
const KNOWN = new Set(
  ALL_FAMILIES.flatMap(({ name, type }) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  ),
);

function namesIn(text: string): string[] {
  return [...new Set(text.match(/\b(?:kvc|process)_[a-z_]+/g))];
}

const AGGREGATED = /\b(?:sum|max|min)\b/;

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly description: string;
    readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
  }[];
}

describe('what operators are given', () => {
  test.each([
    ['the alert rules', ALERTS],
    ['the dashboard', DASHBOARD],
  ])('%s name only metrics that exist', (_name, text) => {
    const names = namesIn(text);
    expect(names.length).toBeGreaterThan(10);
    expect(names.filter((name) => !KNOWN.has(name))).toStrictEqual([]);
  });

  test('the page names only metrics and reasons that exist', () => {
    const families = new Set(ALL_FAMILIES.map(({ name }) => name));
    expect(namesIn(PAGE).filter((name) => !families.has(name))).toStrictEqual([]);
    for (const [, ending] of PAGE.matchAll(/…(_[a-z_]+)/g)) {
      expect([...families].filter((name) => name.endsWith(ending))).not.toHaveLength(0);
    }
    for (const reason of Object.keys(REFUSALS)) expect(PAGE, reason).toContain(`\`${reason}\``);
    for (const text of [ALERTS, DASHBOARD]) {
      const reasons = [...text.matchAll(/reason!?=~?\\?"([^"\\]+)/g)].flatMap(([, list]) => list.split('|'));
      for (const reason of reasons) expect(Object.keys({ ...REFUSALS, ...CUT_OFFS })).toContain(reason);
    }
  });

  test('every panel says what it shows, by expressions of the chosen instance', () => {
    const { panels } = JSON.parse(DASHBOARD) as Dashboard;
    expect(panels.length).toBeGreaterThan(10);
    for (const { title, description, targets } of panels) {
      expect(description, title).toMatch(/\.$/);
      for (const { expr } of targets) expect(expr, title).toContain('instance=~"$instance"');
    }
  });

  test('a panel that may have a line for each instance names the instance in its legend', () => {
    const { panels } = JSON.parse(DASHBOARD) as Dashboard;
    const lines = panels.flatMap(({ targets }) => targets).filter(({ expr }) => !AGGREGATED.test(expr));
    expect(lines.length).toBeGreaterThan(10);
    for (const { expr, legendFormat } of lines) expect(legendFormat, expr).toContain('{{instance}}');
  });

  test.skipIf(PROMTOOL === '')('promtool has nothing against the alert rules', () => {
    const { status, stdout, stderr } = spawnSync(PROMTOOL, ['check', 'rules', `${FOLDER}alerts.yml`], {
      encoding: 'utf8',
    });
    expect([status, stderr]).toStrictEqual([0, '']);
    expect(stdout).toMatch(/SUCCESS: \d+ rules found/);
  });

  test('every alert has a case that raises it', () => {
    const cases = readFileSync(ALERT_CASES, 'utf8');
    const alerts = [...ALERTS.matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
    expect(alerts.length).toBeGreaterThan(10);
    for (const name of alerts) {
      expect(cases).toMatch(
        new RegExp(`- alertname: ${name}\\n +eval_time: \\w+\\n +exp_alerts:\\n +- exp_labels`),
      );
    }
  });

  test.skipIf(PROMTOOL === '')('alerts are raised by what they are for', () => {
    const { status, stdout, stderr } = spawnSync(PROMTOOL, ['test', 'rules', ALERT_CASES], {
      encoding: 'utf8',
    });
    expect(status, stdout + stderr).toBe(0);
    expect(stdout).toContain('SUCCESS');
  });

  test.skipIf(PROMTOOL === '')(
    'promtool has nothing against what Prometheus is to be told, with a token and without',
    () => {
      const [, block] = /^```yaml\n([^]*?)^```$/m.exec(PAGE)!;
      const folder = makeFolder();
      const tokenPath = `${folder}/cache-token`;
      writeFileSync(tokenPath, 'secret');
      const withToken = block
        .replace('# authorization:', 'authorization:')
        .replace('/etc/prometheus/cache-token', tokenPath);
      expect(withToken).toContain(`  authorization: { credentials_file: ${tokenPath} }`);
      for (const text of [block, withToken]) {
        writeFileSync(`${folder}/prometheus.yml`, text);
        const { status, stdout, stderr } = spawnSync(
          PROMTOOL,
          ['check', 'config', `${folder}/prometheus.yml`],
          {
            encoding: 'utf8',
          },
        );
        expect([status, stderr], text).toStrictEqual([0, '']);
        expect(stdout).toContain('SUCCESS');
      }
    },
  );
});
