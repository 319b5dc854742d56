import { constants, accessSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Settings } from './settings.ts';

/** @returns one line per fault, in the form of the settings' own: what would keep every snapshot from being written. */
export function snapshotFaults({ SNAPSHOT_FILE, SNAPSHOT_INTERVAL, TIER_URL }: Settings): readonly string[] {
  if (SNAPSHOT_FILE === '') {
    return SNAPSHOT_INTERVAL === 0
      ? []
      : ['SNAPSHOT_INTERVAL: is not allowed without SNAPSHOT_FILE; allowed: both, or the file alone'];
  }
  // Copies from before the restart would be stale.
  if (TIER_URL !== '') return ['SNAPSHOT_FILE: is not allowed with TIER_URL; allowed: one of them'];
  const why = whyNot(SNAPSHOT_FILE);
  return why === undefined ? [] : [`SNAPSHOT_FILE: "${SNAPSHOT_FILE}" is not allowed; ${why}`];
}

function whyNot(path: string): string | undefined {
  if (path.endsWith('/')) return 'it is the name of a folder';
  const folder = dirname(path);
  try {
    if (!statSync(folder).isDirectory()) return `${folder} is not a folder`;
    // The new file is written beside the old one.
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    return `its folder cannot be written to: ${error instanceof Error ? error.message : String(error)}`;
  }
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  if (!stats.isFile()) return 'it is not a regular file';
  try {
    // It would be replaced unread.
    accessSync(path, constants.R_OK);
  } catch (error) {
    return `it cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
  return undefined;
}
