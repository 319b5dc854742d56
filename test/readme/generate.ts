/**
 * Writes the parts of README anew that are kept somewhere else: the table of settings and the figures.
 *
 *   npm run docs:generate
 */
import { writeFileSync } from 'node:fs';
import { README, generatedReadme } from './page.ts';

writeFileSync(README, await generatedReadme());
